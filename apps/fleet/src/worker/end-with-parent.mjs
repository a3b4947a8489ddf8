// Preloaded into the process of a machine: `node --import`. It is JavaScript, as Node would load a compiler for TypeScript in
// each machine's process.
import { constants } from 'node:os'

// A worker that is killed cannot end its machines; their channel to it is closed then. SIGINT ends a run at once, where SIGTERM
// would press the guest's power button first.
process.on('disconnect', () => process.kill(process.pid, 'SIGINT'))
// The listener alone would keep a machine's process from ending.
process.channel?.unref()

// The worker is told of a signal that came from somewhere else: what the guest does after it is not its own doing.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => {
    if (process.connected) process.send?.({ signal })
    // Without a listener of the program's own the signal would have ended the process.
    if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal])
  })
}
