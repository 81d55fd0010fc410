package disk

import "math/rand/v2"

// loseAll makes Mem.Crash keep nothing that was not synced.
func loseAll() *rand.Rand { return rand.New(lossy(1<<32 | 1)) }

type lossy uint64

func (l lossy) Uint64() uint64 { return uint64(l) }
