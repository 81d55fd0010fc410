package limit

import "time"

// gRPC connections. None of these are the product's; each bounds what a client can cost before its request is understood.
const (
	// GRPCStreamsMax is how many calls a connection may have open: a program of Google's has at most some hundreds on one, while each
	// costs a goroutine.
	GRPCStreamsMax = 10_000
	// GRPCHeaderBytesMax bounds the metadata of a call, as HTTPHeaderBytesMax does over HTTP. Google's clients send less than 2 KiB, and
	// a token with it less than 16.
	GRPCHeaderBytesMax = 64 << 10
	// GRPCHandshakeTimeMax is from the first bytes to the end of HTTP/2's greetings; gRPC's own default is two minutes.
	GRPCHandshakeTimeMax = 10 * time.Second
	// GRPCRequestTimeMax is what a request may take from its headers to its last byte, a check's interval more or less: it is over
	// within 30 seconds. At 1 MB, the most that Google's publishers put together unless told otherwise, it needs 300 kbit/s.
	GRPCRequestTimeMax    = 28 * time.Second
	GRPCRequestCheckEvery = time.Second
	// GRPCWindowBytes is what of a request may come before memory is taken for it, on each stream.
	GRPCWindowBytes = 256 << 10
	// GRPCPingEveryMin is how often a client may ping. Google's do so every five minutes, some proxies every ten seconds.
	GRPCPingEveryMin = time.Second
	// GRPCQuietTimeMax and GRPCPongTimeMax: a connection on which nothing came is asked for a sign of life, and closed without one.
	GRPCQuietTimeMax = time.Minute
	GRPCPongTimeMax  = 20 * time.Second
	// GRPCIdleTimeMax is how long a connection may be without a call. Clients are told politely and connect again when they need to.
	GRPCIdleTimeMax = 15 * time.Minute
	// GRPCConnectionAgeMax is when a connection gets no further calls, so that clients spread anew over several servers and nothing of
	// an old connection stays for ever. Calls that are open end when they would have: a stream is not cut off, for that would deliver
	// again what it holds.
	GRPCConnectionAgeMax = time.Hour
	// GunzipsMax is how many compressed requests are opened at a time.
	GunzipsMax = 16
)
