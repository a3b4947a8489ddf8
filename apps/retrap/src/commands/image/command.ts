/** `retrap image`, with the options of qemu-img. */
import { type Command, Option } from 'commander'
import { type ListingOutput, Printer } from '../../print-lines.ts'
import { check, type CheckFlags, info, type InfoFlags, map, type MapFlags } from './info.ts'
import { commit, type CommitFlags, convert, type ConvertFlags } from './convert.ts'
import { create, type CreateFlags } from './create.ts'
import { FORMATS, parseFormat, type OnProgress, type Print, naming } from '../../machine/drives/formats.ts'
import { Program, runProgram } from '../command-line.ts'

const EXAMPLES = `
Examples:
  retrap image create -f qcow2 disk.qcow2 20G
  retrap image create -f qcow2 -b debian.qcow2 -F qcow2 mine.qcow2
  retrap image convert -p -O qcow2 -c disk.img disk.qcow2
  retrap image info --output json disk.qcow2

Formats are raw and qcow2. Without -f, the content of a file says which it is. An image that a machine of retrap uses, also
below its disk, is not changed. QEMU's programs do not see that: do not let them write it.`

const CHECK_CODES = `
Exit codes: 0 the image is whole; 2 it is damaged; 3 clusters are in use that nothing refers to; 63 the format has no
consistency to check; 74 the file could not be used.`

/**
 * Adds the command.
 *
 * @param finish - called with an exit code other than 0
 */
export function addImage(program: Command, output: ListingOutput, finish: (code: number) => void): void {
  const image = program
    .command('image')
    .description('Create, show, convert and check disk images, with the options of qemu-img')
    .addHelpText('after', EXAMPLES)
  const add = (name: string, description: string): Command =>
    image.command(name).description(description).allowExcessArguments(false)
  const format = (flags: string, description: string): Option => new Option(flags, description).argParser(parseFormat)
  /** Runs a command on an image. An output that cannot be written is an error once the work is done. */
  const run = async (path: string, work: (print: Print) => Promise<void>): Promise<void> => {
    const printer = new Printer(output)
    await naming(
      path,
      work((text) => printer.print(text)),
    )
    await printer.end()
  }
  const form = new Option('--output <form>', 'how to print').choices(['human', 'json']).default('human')
  const look = (name: string, description: string): Command =>
    add(name, description)
      .argument('<file>', 'an image')
      .addOption(format('-f, --format <name>', `format: ${FORMATS}`))
      .addOption(form)

  add('create', 'Make an image; a file that is there is overwritten')
    .argument('<file>', 'the new image')
    .argument('[size]', 'size of the disk: 512M, 20G; without a unit in bytes (default: that of the file below)')
    .addOption(format('-f, --format <name>', `format: ${FORMATS}`).default('raw'))
    .option('-b, --backing <file>', 'file below, whose content shows until it is overwritten (qcow2)')
    .addOption(format('-F, --backing-format <name>', 'format of the file below; needed with -b'))
    .option('-o, --options <key=value>', 'cluster_size=64k, refcount_bits=16, compat=1.1, lazy_refcounts=off', joined)
    .option('-u, --unsafe', 'do not look at the file below; a size is needed')
    .option('-q, --quiet', 'print nothing')
    .action((path: string, size: string | undefined, flags: CreateFlags) =>
      run(path, (print) => create(path, size, flags, print)),
    )

  look('info', 'Show what an image is')
    .option('--backing-chain', 'show the files below as well')
    .action((path: string, flags: InfoFlags) => run(path, (print) => info(path, flags, print)))

  add('convert', 'Copy the disk that an image shows into a new image; what is below becomes part of it')
    .argument('<file>', 'an image')
    .argument('<target>', 'the new image; a file that is there is overwritten')
    .addOption(format('-f, --format <name>', `format of the image: ${FORMATS}`))
    .addOption(format('-O, --target-format <name>', `format of the new image: ${FORMATS}`).default('raw'))
    .option('-o, --options <key=value>', 'as for create', joined)
    .option('-c, --compress', 'compress the new image (qcow2)')
    .option('-l, --snapshot <name>', 'copy this internal snapshot')
    .option('-p, --progress', 'show how far it is')
    .option('-q, --quiet', 'print nothing')
    .action((path: string, target: string, flags: ConvertFlags) =>
      run(path, (print) => convert(path, target, flags, showProgress(flags, print))),
    )

  look('check', 'Look whether an image is consistent')
    .addOption(new Option('-r, --repair <what>', 'correct reference counts').choices(['leaks', 'all']))
    .option('-q, --quiet', 'print nothing')
    .addHelpText('after', CHECK_CODES)
    .action((path: string, flags: CheckFlags) => run(path, async (print) => finish(await check(path, flags, print))))

  add('commit', 'Write what an image holds into the file below, and empty the image')
    .argument('<file>', 'an image with a file below')
    .addOption(format('-f, --format <name>', `format: ${FORMATS}`))
    .option('-d, --keep', 'do not empty the image')
    .option('-p, --progress', 'show how far it is')
    .option('-q, --quiet', 'print nothing')
    .action((path: string, flags: CommitFlags) =>
      run(path, (print) => commit(path, flags, print, showProgress(flags, print))),
    )

  look('map', 'Show where the parts of the disk are kept').action((path: string, flags: MapFlags) =>
    run(path, (print) => map(path, flags, print)),
  )
}

/** Options may be given several times, and several of them at once. */
const joined = (text: string, before: string | undefined): string => (before === undefined ? text : `${before},${text}`)

function showProgress({ progress, quiet }: { progress?: boolean; quiet?: boolean }, print: Print): OnProgress {
  if (progress !== true || quiet === true) return () => {}
  let last = ''
  return (fraction) => {
    const text = `    (${(fraction * 100).toFixed(2)}/100%)\r`
    // The next text is written over this one: an order for the terminal.
    if (text !== last) void print(Buffer.from(fraction === 1 ? text.replace('\r', '\n') : text))
    last = text
  }
}

/** Runs `retrap image` on this process. @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Program(process)
  let result = 0
  addImage(program, process.stdout, (code) => {
    result = code
  })
  const code = await runProgram(program, args, process)
  return code === 0 ? result : code
}
