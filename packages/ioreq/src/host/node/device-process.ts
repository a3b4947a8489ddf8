import { text } from 'node:stream/consumers'
import { connectDevices } from './client.ts'
import type { SocketAddress } from './packet-socket.ts'
import { attachModules } from './modules.ts'
import { Worker } from 'node:worker_threads'

/** How often the watcher looks. */
const INTERVAL_MS = 250

/** The watcher's program: a thread of its own, as a model may never return to its event loop. */
const PROGRAM = `
  const { workerData } = require('node:worker_threads')
  const { rmSync } = require('node:fs')
  const { parent, folder, interval } = workerData
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
    if (alive()) return
    try {
      if (folder !== null) rmSync(folder, { recursive: true, force: true })
    } finally {
      process.kill(process.pid, 'SIGKILL')
    }
  }, interval)
`

/**
 * Ends this process when its parent has gone, even while it is busy.
 *
 * @param parent - process ID of the parent
 * @param folder - removed at that end; null: none
 */
function endWithParent(parent: number, folder: string | null): void {
  const watcher = new Worker(PROGRAM, {
    eval: true,
    workerData: { parent, folder, interval: INTERVAL_MS },
    execArgv: [],
    stdin: false,
  })
  watcher.unref()
}

// The program of a device process; see startDeviceProcess. Its task comes as JSON on standard input.
const task = JSON.parse(await text(process.stdin)) as {
  readonly address: SocketAddress
  readonly token: string
  readonly name: string
  readonly modules: readonly string[]
  /** Process ID of the hypervisor. */
  readonly parent: number
  /** The folder of the socket: the hypervisor removes it, or this process where the hypervisor has been killed. */
  readonly folder: string
}
endWithParent(task.parent, task.folder)
const client = await connectDevices(task, (server) => attachModules(server, task.modules))
const error = await client.closed
if (error !== null) console.error(`retrap devices ${task.name}: ${error.message}`)
process.exit(error === null ? 0 : 1)
