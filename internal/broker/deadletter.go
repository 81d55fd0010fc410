package broker

import "log/slog"

// warnOfDeadLetters says in the log when a subscription's dead letters would reach nobody.
func (b *Broker) warnOfDeadLetters(subscription, topicName string) {
	if topicName == "" {
		return
	}
	b.mu.RLock()
	t := b.topics[topicName]
	text := warning(t != nil, t != nil && len(t.subscriptions) > 0)
	b.mu.RUnlock()
	if text != "" {
		b.logger.Warn(text, slog.String("subscription", subscription), slog.String("dead_letter_topic", topicName))
	}
}

// warning says what is wrong with a dead letter topic, "" if nothing is.
func warning(exists, subscribed bool) string {
	switch {
	case !exists:
		return "the dead letter topic does not exist: messages that cannot be forwarded are delivered again and again"
	case !subscribed:
		return "the dead letter topic has no subscription: dead letters reach nobody"
	}
	return ""
}
