-- $1: id. $2: channel. $3: the whole message.
INSERT INTO dispatcher_wire.published (id, channel, message)
VALUES ($1, $2, $3)
