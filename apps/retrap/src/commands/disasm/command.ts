/** `retrap disasm FILE`. */
import { type Command, Option } from 'commander'
import type { ListingOutput } from '../../print-lines.ts'
import { parseAddress } from '../../options/values.ts'
import { DEFAULT_FLAGS, disassemble, type DisasmFlags, type ProgressTerminal } from './disassemble.ts'
import { SYNTAXES } from './plain-lines.ts'
import { Program, runProgram } from '../command-line.ts'

const EXAMPLES = `
Examples:
  retrap disasm /bin/true
  retrap disasm vmlinux --start 0xffffffff81000000 --stop 0xffffffff81000100 --syntax att
  retrap disasm boot.img --mode 16 --address 0x7c00
  retrap disasm Image --arch arm64 --raw --stop 0x1000
  retrap disasm /usr/arm-linux-gnueabihf/lib/libc.so.6 --arch thumb --start 0x20000
  objcopy -O binary -j .text main.o /dev/stdout | retrap disasm -

A file that is neither ELF nor PE is plain code. Colour needs a terminal, and no NO_COLOR in the environment.`

export function addDisasm(
  program: Command,
  output: ListingOutput,
  terminal: ProgressTerminal,
  environment: NodeJS.ProcessEnv,
  input: () => AsyncIterable<Uint8Array> = () => process.stdin,
): void {
  program
    .command('disasm')
    .description('Disassemble a file: ELF, PE or plain machine code of x86 or Arm')
    .argument('<file>', 'what to disassemble; - reads the standard input')
    .addOption(
      new Option('--arch <name>', 'whose code it is (default: what the file says, else x86)').choices([
        'x86',
        'arm64',
        'arm',
        'thumb',
      ]),
    )
    .addOption(
      new Option('--mode <bits>', 'size of the code segment (default: what the file says, else 64)').choices([
        '16',
        '32',
        '64',
      ]),
    )
    .addOption(new Option('--syntax <name>', 'how to write x86 code').choices(SYNTAXES).default(DEFAULT_FLAGS.syntax))
    .option('--raw', 'take ELF and PE files as plain code too')
    .option('--address <address>', 'address of the first byte of plain code (default: 0)', parseAddress('--address'))
    .option('--start <address>', 'start here', parseAddress('--start'))
    .option('--stop <address>', 'stop before this address', parseAddress('--stop'))
    .addOption(
      new Option('--color <when>', 'whether to use colour')
        .choices(['auto', 'always', 'never'])
        .default(DEFAULT_FLAGS.color),
    )
    .allowExcessArguments(false)
    .addHelpText('after', EXAMPLES)
    .action((path: string, flags: DisasmFlags) => disassemble(path, flags, { output, terminal, environment, input }))
}

/** Parses the arguments and lists the named files. @returns the exit code */
export function runWithOptions(args: readonly string[]): Promise<number> {
  const program = new Program(process)
  addDisasm(program, process.stdout, process.stderr, process.env)
  return runProgram(program, args, process)
}
