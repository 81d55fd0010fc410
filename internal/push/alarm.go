package push

// alarm decides what the log is told of an endpoint: that it fails, and that it does so no more. An endpoint that fails now and then would fill
// the log with both; so a warning comes at most once in alarmPause, and the all-clear only after a warning.
type alarm struct {
	raised bool  // the log's last word is that the endpoint fails
	until  int64 // the end of the pause after the latest warning; 0: there was none
}

const alarmPause = int64(60e9)

// news says whether that the endpoint fails, or does not, is to be told now.
func (a *alarm) news(failing bool, now int64) bool {
	if failing == a.raised || failing && now < a.until {
		return false
	}
	if a.raised = failing; failing {
		a.until = now + alarmPause
	}
	return true
}
