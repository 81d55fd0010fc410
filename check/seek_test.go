package check

import "testing"

func TestSeeks(t *testing.T) {
	const (
		retained = `
			0 admin subscribe ok retained=true`
		early = `
			50 st receive ok msg=a ack=a1 pt=15
			60 st ack invoke ack=a1
			70 st ack ok ack=a1`
		again = `
			900 st receive ok msg=a ack=a2 pt=15
			910 st ack invoke ack=a2`
		forward = `
			100 admin seek invoke pt=16 call=1
			110 admin seek ok call=1`
		back = `
			100 admin seek invoke pt=15 call=1
			110 admin seek ok call=1`
	)
	judgeAll(t, []verdict{
		{"forward, and it came all the same", publishA + openStream + early + forward + again, []string{"seek"}},
		{"forward, and it was on its way", publishA + openStream + `
			100 admin seek invoke pt=16 call=1
			110 admin seek ok call=1
			120 st receive ok msg=a ack=a1 pt=15
			130 st ack invoke ack=a1`, nil},
		{"forward, refused", publishA + openStream + early + `
			100 admin seek invoke pt=16 call=1
			110 admin seek fail call=1` + again, nil},
		{"forward and back", publishA + openStream + early + forward + `
			200 admin seek invoke pt=1 call=2
			210 admin seek ok call=2` + again, nil},
		{"forward, published meanwhile", `
			10 p publish invoke msg=a
			105 p publish ok msg=a` + openStream + forward + again, nil},
		{"back, and it came", retained + publishA + openStream + early + back + again, nil},
		{"back, and it did not come", retained + publishA + openStream + early + back, []string{"seek"}},
		{"back, but nothing is retained", publishA + openStream + early + back, nil},
		{"back, and it did not come, but is older than the subscription", publishA + openStream + `
			45 admin subscribe ok retained=true` + early + back, nil},
		{"back, and then forward", retained + publishA + openStream + early + back + `
			200 admin seek invoke pt=99 call=2
			210 admin seek ok call=2`, nil},
		{"back, and then deleted", retained + publishA + openStream + early + back + `
			200 admin unsubscribe invoke`, nil},
		{"held messages count no more", `
			5 st stream invoke messages=1` + publishA + publishB + `
			50 st receive ok msg=a ack=a1 pt=15
			100 admin seek invoke pt=16 call=1
			110 admin seek ok call=1
			120 st receive ok msg=b ack=b1 pt=35
			130 st ack invoke ack=b1`, nil},
		{"on its way before the seek took effect", retained + publishA + openStream + `
			100 admin seek invoke pt=15 call=1
			105 st receive ok msg=a ack=a1 pt=15
			106 st ack invoke ack=a1
			107 st ack ok ack=a1
			110 admin seek ok call=1
			111 st receive ok msg=a ack=a2 pt=15
			112 st ack invoke ack=a2`, nil},
		{"long after the seek", publishA + openStream + `
			10 admin seek invoke pt=1 call=1
			15 admin seek ok call=1
			1000 st receive ok msg=a ack=a1 pt=15
			1060 st ack invoke ack=a1
			1070 st ack ok ack=a1
			1900 st receive ok msg=a ack=a2 pt=15`, []string{"acked"}},
		{"to something else", retained + publishA + openStream + early + `
			100 admin seek invoke call=1
			110 admin seek ok call=1`, nil},
	})
}
