package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPercentileIsAtMostOneSixtyFourthAboveTheExactOne(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 99, 100, 101, 10_000} {
		var h Histogram
		var exact []time.Duration
		for range n {
			d := time.Duration(math.Exp(random.Float64() * math.Log(float64(time.Minute))))
			h.Record(d, 1)
			exact = append(exact, d)
		}
		slices.Sort(exact)
		for _, p := range []float64{0, 1, 50, 90, 99, 99.9, 100} {
			want := exact[max(int(math.Ceil(p/100*float64(n)-1e-9)), 1)-1]
			got := h.Percentile(p)
			if got < want || float64(got) > float64(want)*(1+1.0/64)+1 {
				t.Errorf("percentile %v of %d values: %v, exact %v", p, n, got, want)
			}
		}
		if h.Max() != exact[n-1] || h.Count() != uint64(n) {
			t.Errorf("max %v count %d, want %v and %d", h.Max(), h.Count(), exact[n-1], n)
		}
	}
}

func TestBucketsTileTheNumbersWithoutGapOrOverlap(t *testing.T) {
	for bucket := range histogramBuckets - 1 {
		edge := upperEdge(bucket)
		if got := bucketOf(edge); got != bucket {
			t.Fatalf("upper edge %d of bucket %d lies in bucket %d", edge, bucket, got)
		}
		if got := bucketOf(edge + 1); got != bucket+1 {
			t.Fatalf("%d, just above bucket %d, lies in bucket %d", edge+1, bucket, got)
		}
	}
	if got := bucketOf(math.MaxUint64); got != histogramBuckets-1 {
		t.Errorf("the largest number lies in bucket %d, want the last", got)
	}
}

func TestMergedHistogramEqualsOneThatSawEverything(t *testing.T) {
	var a, b, all Histogram
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		all.Record(d, 3)
		if i%3 == 0 {
			a.Record(d, 3)
		} else {
			b.Record(d, 3)
		}
	}
	a.Merge(&b)
	if a != all {
		t.Error("the merged histogram differs")
	}
}

func TestEmptyHistogramAndNegativeDuration(t *testing.T) {
	var h Histogram
	if h.Percentile(99) != 0 {
		t.Error("an empty histogram has a percentile")
	}
	h.Record(-time.Second, 1)
	if h.Percentile(100) != 0 || h.Count() != 1 {
		t.Errorf("negative duration counted as %v", h.Percentile(100))
	}
}
