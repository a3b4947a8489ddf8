import { text } from 'node:stream/consumers'
import { connectDevices } from './client.ts'
import type { SocketAddress } from './listener.ts'
import { attachModules } from './modules.ts'

// The program of a device process; see startDeviceProcess. What it is to do comes as JSON on standard input.
const task = JSON.parse(await text(process.stdin)) as {
  readonly address: SocketAddress
  readonly token: string
  readonly name: string
  readonly modules: readonly string[]
}
const client = await connectDevices(task, (server) => attachModules(server, task.modules))
const error = await client.closed
if (error !== null) console.error(`retrap devices ${task.name}: ${error.message}`)
process.exit(error === null ? 0 : 1)
