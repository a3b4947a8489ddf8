/** `retrap dap`. */
import type { Readable, Writable } from 'node:stream'
import { type Command } from 'commander'
import type { SessionHost, SessionInput, SessionOutput } from '../../machine/session/session-host.ts'
import { plainOutput } from '../../print-lines.ts'
import type { MachineDebug } from './machine-debug.ts'

const HELP = `
An editor starts it and speaks the Debug Adapter Protocol over the standard input and output. launch and attach take:

  recording     a recording of --record, or a folder with run.recording: it is gone through in both directions
  at            the instant of it that is shown first: begin, end (the default), a mark or an instruction's number
  machine       a machine.json, as retrap run takes it
  args          a command line of retrap's, such as ["linux", "--record", "boot.recording"]; further options with the above
  program       an ELF file with symbols, and lines where it has debug information, such as vmlinux
  sourceFolder  where the sources are, if not where they were compiled
  stopOnEntry   whether a machine that is not recorded stops before its first instruction

Names of an x86-64 or arm64 Linux are found in its memory, without a file. Threads are vCPUs. The console takes a name, an address,
$ and a register, or a command of gdb's monitor: ps, dmesg 20, who-wrote PLACE, goto 1000, help.`

/** Runs a retrap command line in another process. */
type RunCommand = (
  args: readonly string[],
  around: Pick<SessionHost, 'stdin' | 'stdout' | 'stderr' | 'debugger'>,
) => Promise<number>

export function addDap(
  program: Command,
  host: { readonly stdin: unknown; readonly stdout: unknown },
  run: RunCommand,
): void {
  program
    .command('dap')
    .description('Debug machines and recordings from an editor, over the Debug Adapter Protocol (stdio)')
    .addHelpText('after', HELP)
    .action(async () => {
      const { MachineSession } = await import('./debug-session.ts')
      const session = new MachineSession((args, machine, print) => runWith(run, args, machine, print))
      session.start(host.stdin as Readable, host.stdout as Writable)
      await session.over
    })
}

/** Input on which nothing is ever typed. */
const NO_INPUT: SessionInput = { on() {}, removeAllListeners() {}, resume() {}, pause() {} }

/** Time for gathering output, because a guest's console sends byte after byte. */
const GATHER_MS = 20

async function runWith(
  run: RunCommand,
  args: readonly string[],
  machine: MachineDebug,
  print: (category: 'stdout' | 'console', text: string) => void,
): Promise<number> {
  const flushes: (() => void)[] = []
  const output = (category: 'stdout' | 'console'): SessionOutput => {
    const decoder = new TextDecoder()
    let text = ''
    let timer: NodeJS.Timeout | undefined
    const flush = (): void => {
      clearTimeout(timer)
      timer = undefined
      if (text !== '') print(category, text)
      text = ''
    }
    flushes.push(flush)
    return {
      write(data) {
        text += typeof data === 'string' ? data : decoder.decode(data, { stream: true })
        timer ??= setTimeout(flush, GATHER_MS)
      },
      on() {},
    }
  }
  try {
    return await run(args, {
      stdin: NO_INPUT,
      stdout: output('stdout'),
      stderr: plainOutput(output('console')),
      debugger: machine,
    })
  } finally {
    for (const flush of flushes) flush()
  }
}
