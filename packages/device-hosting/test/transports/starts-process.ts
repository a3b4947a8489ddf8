// Run by node-modules.test.ts: starts a device process, says so, and waits to be killed.
import { startDeviceProcess } from '../../src/node/index.ts'
import { makeMachine } from '../machine.ts'

const { dispatch, platform } = makeMachine()
const transport = await startDeviceProcess(dispatch, platform, { name: 'spins', modules: [process.argv[2] as string] })
await transport.remote.ready
console.log('ready')
setInterval(() => {}, 1000)
