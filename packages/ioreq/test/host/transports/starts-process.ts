// Run by node-modules.test.ts: starts a device process, says where it is, and waits to be killed.
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { startDeviceProcess } from '../../../src/host/node/index.ts'
import { makeMachine } from '../machine.ts'

const before = new Set(readdirSync(tmpdir()))
const { dispatch, platform } = makeMachine()
const transport = await startDeviceProcess(dispatch, platform, { name: 'spins', modules: [process.argv[2] as string] })
await transport.remote.ready
const folder = readdirSync(tmpdir()).find((name) => name.startsWith('retrap-devices-') && !before.has(name))
console.log(JSON.stringify({ folder }))
setInterval(() => {}, 1000)
