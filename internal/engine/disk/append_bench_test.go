package disk

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// benchmarkAppend appends from many goroutines, each waiting for its own commit, to a store on the machine's disk.
func benchmarkAppend(b *testing.B, appenders, messages, messageBytes, topics int) {
	s := openStore(b, Options{FS: vfs.OS(), Dir: b.TempDir() + "/store"})
	defer s.close()
	body := bodyOf(1, 1, messages*messageBytes)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wait sync.WaitGroup
	b.ResetTimer()
	for i := range appenders {
		wait.Go(func() {
			recs := make([]engine.Record, 1)
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				recs[0] = block(engine.TopicID(1+(int(n)+i)%topics), uint32(messages), body)
				if err := s.shard.Append(context.Background(), recs); err != nil {
					b.Error(err)
					return
				}
				if n%1000 == 0 {
					for t := range topics { // as if all was acknowledged
						s.shard.Trim(engine.TopicID(1+t), recs[0].Stamp.First)
					}
				}
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	v := StatsOf(s.shard)
	b.ReportMetric(float64(b.N*messages)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(v.Commits)/b.Elapsed().Seconds(), "commits/s")
}

func BenchmarkAppend100x1KiB(b *testing.B) {
	for _, appenders := range []int{16, 64} {
		b.Run(fmt.Sprint(appenders), func(b *testing.B) { benchmarkAppend(b, appenders, 100, 1024, 1) })
	}
}

func BenchmarkAppendSmall(b *testing.B) {
	for _, appenders := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(appenders), func(b *testing.B) { benchmarkAppend(b, appenders, 1, 100, 1) })
	}
}

// BenchmarkRawSync is the yardstick: one page after the other into a file like a segment's, each synced.
func BenchmarkRawSync(b *testing.B) {
	for _, pages := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(pages), func(b *testing.B) {
			const size = 128 << 20
			f, err := vfs.OS().Create(b.TempDir()+"/raw", size, true)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			page := vfs.AlignedBytes(pages * vfs.Align)
			b.SetBytes(int64(len(page)))
			at := int64(0)
			for b.Loop() {
				if _, err := f.WriteAt(page, at); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				at = (at + int64(len(page))) % size
			}
		})
	}
}
