import { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { Worker } from 'node:worker_threads'
import { FramedServer } from '../framed-server.ts'
import { ServerLink } from '../protocol/link.ts'
import { awaitOpening, FrameSocket } from './frame-socket.ts'
import { attachModules } from './modules.ts'
import { DEVICE_FD } from './program-group.ts'
import { fromModelFrame, toModelFrame } from './socket-transport.ts'

/** Period of the watcher's checks. */
const INTERVAL_MS = 250

/** The watcher's program, for a thread of its own: a model may never return to the event loop of its thread. */
const PROGRAM = `
  const { workerData } = require('node:worker_threads')
  const { parent, interval } = workerData
  const alive = () => {
    if (process.ppid !== parent) return false
    try {
      process.kill(parent, 0)
      return true
    } catch (error) {
      return error.code === 'EPERM'
    }
  }
  setInterval(() => {
    if (!alive()) process.kill(process.pid, 'SIGKILL')
  }, interval)
`

/** Ends this process when its parent has gone, even while it is busy. */
function endWithParent(parent: number): void {
  const watcher = new Worker(PROGRAM, {
    eval: true,
    workerData: { parent, interval: INTERVAL_MS },
    execArgv: [],
    stdin: false,
  })
  watcher.unref()
}

// The program of a device process; see startDeviceProcess. Its task comes as JSON on standard input.
const { name, modules, parent } = JSON.parse(await text(process.stdin)) as {
  readonly name: string
  readonly modules: readonly string[]
  /** Process ID of the hypervisor. */
  readonly parent: number
}
endWithParent(parent)
const end = (error: Error | null): void => {
  if (error !== null) console.error(`retrap devices ${name}: ${error.message}`)
  process.exit(error === null ? 0 : 1)
}
const frames = new FrameSocket(new Socket({ fd: DEVICE_FD }))
const link = new ServerLink(name, {
  onFrame: (frame) => framed.receive(fromModelFrame(frame)),
  onFailed: (error) => end(link.hasSaidBye ? null : error),
})
const framed = new FramedServer((frame) => link.send(toModelFrame(frame)), { name })
// A hypervisor that is gone is no fault of the models.
frames.onEnd = end
awaitOpening(frames, ({ hello, rest }) => {
  frames.onBytes = (bytes) => link.receive(bytes)
  link.connect(frames, hello)
  link.receive(rest)
  void framed.server.attachAll((server) => attachModules(server, modules))
})
