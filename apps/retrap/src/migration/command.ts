import { CliError } from '../cli-error.ts'
import type { Program } from '../command-line.ts'
import { usage } from '../options/values.ts'
import { sendCommand } from './control.ts'

const HELP = `
The destination waits, with the options of the source: retrap run --incoming TARGET …. Both sides have the same disks. Across
hosts, let ssh carry a Unix socket: ssh -L /tmp/there:/tmp/incoming HOST.`

interface MigrateFlags {
  readonly resume?: boolean
  readonly abandon?: boolean
  readonly downtime?: string
  readonly bandwidth?: string
}

/** Adds `retrap migrate`. */
export function addMigrate(program: Program): void {
  program
    .command('migrate')
    .description('Move the machine of a run with --control PATH to another process, while its guest runs')
    .argument('<control>', 'the path of that --control')
    .argument('[target]', 'where it goes: unix:PATH, or tcp:HOST:PORT,secret=FILE')
    .option('--downtime <ms>', 'how long its last pages may take, in milliseconds (default: 300)')
    .option('--bandwidth <mib>', 'most MiB a second (default: as fast as they go)')
    .option('--resume', 'after a cut at the last moment: it does not run there, and goes on here')
    .option('--abandon', 'after a cut at the last moment: it runs there, and ends here')
    .addHelpText('after', HELP)
    .action(async (control: string, target: string | undefined, flags: MigrateFlags) => {
      const wanted = [target, flags.resume, flags.abandon].filter((each) => each !== undefined)
      if (wanted.length !== 1) throw usage('give a target, or --resume, or --abandon')
      const more = [
        ...(flags.downtime === undefined ? [] : [`downtime=${flags.downtime}`]),
        ...(flags.bandwidth === undefined ? [] : [`bandwidth=${flags.bandwidth}`]),
      ]
      const what = target ?? (flags.resume === true ? '--resume' : '--abandon')
      const answer = await sendCommand(control, ['migrate', `"${what}"`, ...more].join(' '))
      const [, trouble] = /^retrap: (.*)\n$/s.exec(answer) ?? []
      if (trouble !== undefined) throw new CliError('ERR_INPUT', trouble)
      program.asked.push(answer)
    })
}
