use dispatcher_core::Dispatcher;

#[derive(Dispatcher)]
union Bits {
    int: u32,
    float: f32,
}

fn main() {}
