package lease

import "testing"

func TestWhatIsDiscardedNeedsNoOrder(t *testing.T) {
	q := New(Rules{Ordered: true, ExactlyOnce: true}, 1)
	admit(q, "k", "k", "k", "k")
	h := q.Join()
	leases := takeAll(q, 0, h)
	wantVerdict(t, q.Discard(0, leases[1].Handle, 1), Done)
	wantVerdict(t, q.Discard(0, leases[1].Handle, 1), Unknown)
	wantVerdict(t, q.Ack(0, leases[2].Handle, 2), Unordered)
	wantVerdict(t, q.Ack(0, leases[0].Handle, 0), Done)
	wantVerdict(t, q.Nack(0, leases[2].Handle, 2), Done)
	wantVerdict(t, q.Discard(0, leases[3].Handle, 3), Expired)
	wantOffsets(t, takeAll(q, 0, h), 2, 3)
}
