import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { GuestPort } from '@retrap/guest'

export const SCRIPT: string = fileURLToPath(new URL('../../src/agent.sh', import.meta.url))

/** An agent in a process of this host, and the port to it. */
export interface LocalAgent extends GuestPort {
  /** The operations that were asked for. */
  readonly operations: string[]
  /** Sends what no session sends. */
  noise(text: string): void
  end(): Promise<void>
}

/**
 * Starts the agent on pipes.
 *
 * @param shell - the shell and its options
 */
export function localAgent(shell: readonly string[] = ['sh'], env: NodeJS.ProcessEnv = process.env): LocalAgent {
  const [program = '', ...options] = shell
  const child: ChildProcess = spawn(program, [...options, SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'], env })
  let listener: (bytes: Uint8Array) => void = () => {}
  child.stdout!.on('data', (bytes: Uint8Array) => listener(bytes))
  child.stdin!.on('error', () => {})
  const operations: string[] = []
  return {
    operations,
    onTransmit: (next) => (listener = next),
    onDrain: () => {},
    receive(bytes) {
      const [, operation = ''] =
        /rt1> \d+ \S+ \d+ (\S+)/.exec(Buffer.from(bytes.subarray(0, 99)).toString('latin1')) ?? []
      operations.push(operation)
      return (child.stdin!.write(bytes), true)
    },
    noise: (text) => void child.stdin!.write(text),
    async end() {
      child.stdin!.end()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}
