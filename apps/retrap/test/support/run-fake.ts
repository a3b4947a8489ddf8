import { runCli } from '../../src/cli.ts'
import { FakeHost } from './fake-machine.ts'

/** Runs a command in a process whose machines power off at once. */
export async function runFake(...args: readonly string[]) {
  const host = new FakeHost(async () => ({ reason: 'power-off' }))
  const code = await runCli(args, host)
  return { code, stdout: host.stdout.text, stderr: host.stderr.text, created: host.created, timeouts: host.timeouts }
}
