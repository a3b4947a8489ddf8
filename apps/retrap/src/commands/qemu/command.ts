import type { Command } from 'commander'
import type { SessionHost } from '../../machine/session/session-host.ts'
import { CliError } from '@retrap/linux-guest/errors'
import { usage } from '../../options/values.ts'
import { translateLine } from './translate.ts'

const HELP = `
Example:
  retrap qemu qemu-system-x86_64 -m 2G -cdrom debian.iso -device usb-tablet

The line is printed as a line of retrap run, with what is otherwise, and run. Options of the host's, such as -enable-kvm,
are left out. QEMU's window is the terminal, unless the line has the serial port there. As QEMU has one, the machine gets a
network card where the line names none; -nic none takes it away.`

/**
 * Adds `retrap qemu LINE…`.
 *
 * @param goOn - runs a line of ours
 */
export function addQemu(
  program: Command,
  host: Pick<SessionHost, 'stdout' | 'stderr'>,
  goOn: (args: readonly string[]) => Promise<void>,
): void {
  program
    .command('qemu')
    .description("Run a whole line of QEMU's command line, in options of retrap run, which are printed")
    .argument('<line...>', 'the line, with or without qemu-system-x86_64, -i386 or -aarch64 in front')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption('--help', 'display help for command')
    .addHelpText('after', HELP)
    .action(async (line: readonly string[]) => {
      const { options, notes, complaints } = translateLine(line, host.stdout.isTTY === true)
      const run = program.commands.find((command) => command.name() === 'run')
      const refused = options.flatMap(([option, value]) => {
        try {
          run?.options.find((one) => one.long === option)?.parseArg?.(value ?? '', undefined)
          return []
        } catch (error) {
          if (!(error instanceof CliError)) return [`${option} ${value ?? ''}: ${(error as Error).message}`]
          return [error.message]
        }
      })
      const all = [...new Set([...complaints, ...refused])].join('\n  ')
      // The list of all devices follows the first unknown one alone.
      const [list = ''] = /; there are .*, and modules of your own/.exec(all) ?? []
      const [first = '', ...others] = list === '' ? [all] : all.split(list)
      if (all !== '') throw usage(`this line cannot be run:\n  ${first}${list}${others.join('')}`)
      const args = ['run', ...options.flatMap((words) => words.filter((word) => word !== undefined))]
      host.stderr.write(`retrap: retrap ${args.map(quoted).join(' ')}\n`)
      for (const note of notes) host.stderr.write(`retrap: ${note}\n`)
      await goOn(args)
    })
}

const quoted = (word: string): string => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)
