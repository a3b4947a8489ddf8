/** `retrap device-check ADDRESS`. */
import type { Command } from 'commander'
import { parseProgram } from '../../machine/devices/device-programs.ts'
import { ExitCode } from '../../exit-codes.ts'
import { parseSeconds } from '../../options/values.ts'
import { type ListingOutput, Printer } from '../../print-lines.ts'

interface DeviceCheckFlags {
  readonly writes: boolean
  readonly timeout: number
  readonly trace?: boolean
}

const HELP = `
A server of the device protocol is shown a machine that looks at every frame. Each line is a rule of PROTOCOL.md, with the
sentence that it is from:
  ok     it keeps to the rule
  FAIL   it does not: below it is what was seen, with the frame's bytes, and what was expected
  skip   nothing could be said, and why: such as of timers where none is armed

Addresses:
  exec:COMMAND     a program that is started for each session; its end of the socket is descriptor RETRAP_DEVICE_FD
  unix:PATH        a server that listens at a Unix socket
  tcp:HOST:PORT    one that listens on TCP

The check opens regions to reads and writes at their edges, of 0 and 1, in each size. It gives the devices memory that is 0 at
first, lets virtual time go on from one deadline to the next, saves, restores, resets, plugs and unplugs them, breaks connections
off, and sends frames that no machine sends. It takes as long as the server does, and ends in 40 times the time of --timeout.
It ends with 0 where no rule was broken, else with 1.

Examples:
  retrap device-check exec:./thermometer
  retrap device-check 'exec:python3 model.py --verbose' --trace
  retrap device-check unix:/tmp/model.sock --no-writes
retrap device-sdk writes the document, and libraries for C, Python, Rust and Verilog, into a folder.`

export function addDeviceCheck(program: Command, output: ListingOutput, report: (code: number) => void): void {
  const seconds = parseSeconds('--timeout', '5 or 500ms', 0.05, 3600)
  program
    .command('device-check')
    .description('Tell what is wrong with a device server in any language, by the sentences of PROTOCOL.md')
    .argument('<address>', 'exec:COMMAND, unix:PATH or tcp:HOST:PORT')
    .option('--no-writes', 'only read from regions: writes may do harm')
    .option('--timeout <time>', 'how long a call may take', (given) => seconds(given) / 1000, 5)
    .option('--trace', 'print every frame')
    .addHelpText('after', HELP)
    .action(async (text: string, { writes, timeout, trace }: DeviceCheckFlags) => {
      const address = parseProgram(`device-check ${text}`, text)
      const { checkDevice } = await import('./check.ts')
      const printer = new Printer(output)
      const print = (line: string): void => void printer.print(`${line}\n`)
      print(`retrap device-check ${text}`)
      const kept = await checkDevice({ address, writes, timeoutMs: timeout * 1000, trace: trace === true, print })
      await printer.end()
      if (!kept) report(ExitCode.TestFailed)
    })
}
