// Runs a command through the agent. Here it is in a shell of this host; in a machine it is at a serial port.
import { spawn } from 'node:child_process'
import { AGENT, connectGuest } from '@retrap/guest'

const agent = spawn('sh', ['-c', AGENT])
const guest = await connectGuest({
  onTransmit: (listener) => agent.stdout.on('data', listener),
  onDrain: (listener) => agent.stdin.on('drain', listener),
  receive: (bytes) => agent.stdin.write(bytes),
})
const { exitCode, stdout } = await guest.exec('read name; echo "Hello, $name"; exit 3', { stdin: 'guest\n' })
console.log(exitCode, stdout.trim())
guest.close()
agent.stdin.end()

// Output:
// 3 Hello, guest
