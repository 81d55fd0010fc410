package check

import "testing"

func TestRetention(t *testing.T) {
	const short = `
			0 admin subscribe ok retention=100000`
	judgeAll(t, []verdict{
		{"it came in time", short + publishA + openStream + receiveA + ackA, nil},
		{"it came in the last moment", short + publishA + openStream + `
			101400 st receive ok msg=a ack=a1
			101410 st ack invoke ack=a1`, nil},
		{"it came too late", short + publishA + openStream + `
			101600 st receive ok msg=a ack=a1
			101610 st ack invoke ack=a1`, []string{"retention"}},
		{"it came too late after a seek", short + publishA + openStream + `
			101500 admin seek invoke call=1
			101510 admin seek ok call=1
			101600 st receive ok msg=a ack=a1
			101610 st ack invoke ack=a1`, nil},
		{"it never came", short + publishA + openStream, nil},
		{"it never came, and should have", `
			0 admin subscribe ok retention=1000000` + publishA + openStream, []string{"lost"}},
		{"it did not come again", short + publishA + openStream + `
			95000 st receive ok msg=a ack=a1`, nil},
		{"it is passed over", short + `
			0 admin subscribe ok sub=o retention=100000 ordered=true
			10 p publish invoke msg=a key=k
			20 p publish ok msg=a key=k
			90030 p publish invoke msg=b key=k
			90040 p publish ok msg=b key=k
			100100 o receive ok sub=o msg=b key=k ack=b1
			100110 o ack invoke sub=o ack=b1`, nil},
	})
}

func TestUpdates(t *testing.T) {
	const again = `
			10050 st receive ok msg=a ack=a2
			11000 st ack invoke ack=a1
			11010 st ack ok ack=a1
			11020 st ack invoke ack=a2`
	judgeAll(t, []verdict{
		{"a stale id is confirmed after the flag was set", publishA + openStream + receiveA + `
			100 admin update invoke
			110 admin update ok once=true` + again, []string{"exactly once"}},
		{"a stale id is confirmed while the flag is set", publishA + openStream + receiveA + `
			100 admin update invoke` + again, nil},
		{"a stale id is confirmed after the flag was cleared", `
			0 admin subscribe ok once=true` + publishA + openStream + receiveA + `
			100 admin update invoke
			110 admin update ok` + again, nil},
	})
}
