package push

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/limit"
)

const millisecond = int64(time.Millisecond)

// round lets as many posts as there is room for begin at now and end after latency, all of them alike, and gives how many those were.
func round(p *pace, now, latency int64, good bool) int {
	n, _ := p.room(now, 0)
	for left := n; left > 0; left-- {
		if good {
			p.succeeded(now, now+latency, left)
		} else {
			p.failed(now, now+latency)
		}
	}
	return n
}

func TestWindowDoublesWhileItIsUsedAndAllGoesWell(t *testing.T) {
	p, now := newPace(false), int64(0)
	want := windowFirst
	for want < limit.PushOutstandingMax {
		got := round(&p, now, millisecond, true)
		if got != want {
			t.Fatalf("%d posts, want %d", got, want)
		}
		// The second half of a round finds a window that is used by less than half.
		want = min(limit.PushOutstandingMax, int(p.window))
		if want < got*5/4 && want < limit.PushOutstandingMax {
			t.Fatalf("the window grew from %d to %d", got, want)
		}
		now += 2 * millisecond
	}
	if got := round(&p, now, millisecond, true); got != limit.PushOutstandingMax || p.window != limit.PushOutstandingMax {
		t.Errorf("%d posts, window %v, want the bound %d", got, p.window, limit.PushOutstandingMax)
	}
}

func TestWindowGrowsByOneARoundWhereAnswersTakeLong(t *testing.T) {
	p, now := newPace(false), int64(0)
	for i := range 20 {
		if got := round(&p, now, 2*int64(time.Second), true); got > windowFirst+i {
			t.Fatalf("%d posts in round %d", got, i)
		}
		now += 3 * int64(time.Second)
	}
	if p.window < windowFirst+5 {
		t.Errorf("window %v after 20 rounds", p.window)
	}
}

func TestWindowThatIsNotUsedDoesNotGrow(t *testing.T) {
	p := newPace(false)
	for range 1000 {
		p.succeeded(0, millisecond, 1)
	}
	if p.window != windowFirst {
		t.Errorf("window %v", p.window)
	}
}

func TestFailuresOfOneRoundHalveTheWindowOnce(t *testing.T) {
	p := newPace(true)
	p.window = 1000
	for i := range int64(500) {
		p.failed(0, millisecond+i)
	}
	if p.window != 500 {
		t.Errorf("window %v, want 500", p.window)
	}
	for range 20 {
		now := p.halved + millisecond
		p.failed(now, now)
	}
	if p.window != 1 {
		t.Errorf("window %v after many failing rounds, want 1", p.window)
	}
	if room, wait := p.room(p.halved, 0); room != 1 || wait != 0 {
		t.Errorf("room %d, wait %d: with a retry policy there is no pause", room, wait)
	}
}

func TestPausesDoubleUpToTheirBoundAndASuccessEndsThem(t *testing.T) {
	p, now := newPace(false), int64(0)
	if round(&p, now, 0, false) != windowFirst || !p.failing() {
		t.Fatalf("four failures in a row are many: %+v", p)
	}
	want := int64(limit.PushBackoffMin)
	for range 40 {
		room, wait := p.room(now, 0)
		if room != 0 || wait != want {
			t.Fatalf("room %d, pause %v, want %v", room, time.Duration(wait), time.Duration(want))
		}
		p.failed(now-1, now) // of a post that had begun before the pause
		if _, again := p.room(now, 0); again != wait {
			t.Fatalf("the pause changed to %v", time.Duration(again))
		}
		now += wait
		if n := round(&p, now, 0, false); n != 1 {
			t.Fatalf("%d posts looked after a pause", n)
		}
		want = min(2*want, int64(limit.PushBackoffMax))
	}
	_, wait := p.room(now, 0)
	now += wait
	p.succeeded(now-wait-1, now, 2)
	if p.pauses == 0 {
		t.Error("the success of a post from before the pause ended it")
	}
	round(&p, now, millisecond, true)
	if p.pauses != 0 || p.failing() {
		t.Errorf("%+v after a success", p)
	}
	if room, _ := p.room(now, 0); room == 0 {
		t.Error("no room after a success")
	}
}

func TestFewFailuresAmongManySuccessesBringNoPause(t *testing.T) {
	p := newPace(false)
	for now := int64(0); now < 100_000; now++ {
		if now%50 == 0 {
			p.failed(now, now)
		} else {
			p.succeeded(now, now, int(p.window))
		}
		if room, _ := p.room(now, 0); room < 1 {
			t.Fatalf("no room: %+v", p)
		}
	}
	if p.pauses != 0 || p.until != 0 {
		t.Errorf("%+v", p)
	}
}

func TestPaceStaysWithinItsBoundsWhateverHappens(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		p, now := newPace(random.IntN(2) == 0), int64(0)
		for range 2000 {
			now += random.Int64N(int64(time.Second))
			began := max(0, now-random.Int64N(int64(3*time.Second)))
			if random.IntN(4) > 0 {
				p.succeeded(began, now, 1+random.IntN(limit.PushOutstandingMax))
			} else {
				p.failed(began, now)
			}
			room, wait := p.room(now, 0)
			if p.window < 1 || p.window > limit.PushOutstandingMax || p.trouble < 0 || p.trouble > 1 ||
				wait < 0 || wait > int64(limit.PushBackoffMax) || (room == 0) != (wait > 0) || p.retry && wait > 0 {
				t.Fatalf("seed %d: room %d, wait %d, %+v", seed, room, wait, p)
			}
		}
	}
}
