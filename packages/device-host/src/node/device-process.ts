import { text } from 'node:stream/consumers'
import { connectDevices } from './client.ts'
import type { SocketAddress } from './listener.ts'
import { attachModules } from './modules.ts'
import { endWithParent } from './parent-watch.ts'

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
