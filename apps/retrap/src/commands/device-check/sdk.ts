/** `retrap device-sdk LANGUAGE FOLDER`. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { attempt, CliError, troubled } from '@retrap/linux-guest/errors'
import { didYouMean, usage } from '../../options/values.ts'
import { type ListingOutput, printLines } from '../../print-lines.ts'

const DOCUMENT = 'PROTOCOL.md'

const HELP = `
A device model is a program of its own, in any language: retrap run starts it with --device exec:COMMAND, or connects to it with
--device unix:PATH or tcp:HOST:PORT. The folder gets a library, its examples and their README, and PROTOCOL.md, which is
all that one needs to write a server in another language.

Examples:
  retrap device-sdk c model
  retrap device-sdk python model
  retrap device-sdk rust model
  retrap device-sdk verilator model`

/** How an example of a language is made and run, by the folder. */
const NEXT: Readonly<Record<string, (folder: string) => readonly [make: string, command: string]>> = {
  c: (folder) => [`cc -O2 ${join(folder, 'examples/counter.c')} -o counter && `, './counter'],
  rust: (folder) => [`rustc --edition 2021 -O ${join(folder, 'examples/dma-copy.rs')} && `, './dma-copy'],
  verilator: (folder) => [
    `verilator --cc --exe --build --trace --savable -O3 -CFLAGS "-O2 -I${resolve(folder)}" --Mdir uart ` +
      `${join(folder, 'examples/uart/uart16550.v')} ${join(folder, 'examples/uart/main.cpp')} && `,
    './uart/Vuart16550',
  ],
  python: (folder) => ['', `PYTHONPATH=${folder} python3 ${join(folder, 'examples/counter.py')}`],
}

/** Files of other libraries that a library needs besides its own. */
const NEEDED: Readonly<Record<string, readonly string[]>> = { verilator: ['c/retrap-device.h'] }

/** The package with the libraries. */
const packageFolder = (): string => dirname(fileURLToPath(import.meta.resolve('@retrap/device-hosting/package.json')))

/** Returns the languages with a library. */
const languages = (): string[] =>
  readdirSync(join(packageFolder(), 'sdk'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)

/** Returns a library's files by their names in its folder, without build products of its examples. */
function filesOf(language: string): Map<string, Uint8Array> {
  const from = join(packageFolder(), 'sdk', language)
  const files = new Map<string, Uint8Array>([[DOCUMENT, readFileSync(join(packageFolder(), DOCUMENT))]])
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    const name = relative(from, join(entry.parentPath, entry.name))
    if (entry.isFile() && !/(^|[/\\])(\.|__pycache__)/.test(name)) files.set(name, readFileSync(join(from, name)))
  }
  for (const path of NEEDED[language] ?? []) files.set(basename(path), readFileSync(join(packageFolder(), 'sdk', path)))
  return files
}

/** Reads a file; undefined if it does not exist. */
function bytesOf(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    return troubled(path)(error)
  }
}

/**
 * Copies a library into a folder. Nothing is written where a file would be lost.
 *
 * @returns lines with the next steps
 * @throws CliError `ERR_USAGE` for a language without a library, `ERR_INPUT` for files that differ
 */
export function copyDeviceSdk(language: string, folder: string, force: boolean): string[] {
  const known = languages()
  if (!known.includes(language))
    throw usage(`there is no library for '${language}'; there are ${known.join(' and ')}${didYouMean(language, known)}`)
  const files = filesOf(language)
  const changed = [...files].filter(([name, bytes]) => bytesOf(join(folder, name))?.equals(bytes) === false)
  if (changed.length > 0 && !force) {
    const names = changed.map(([name]) => name).join(', ')
    throw new CliError('ERR_INPUT', `${folder} has files of these names that differ: ${names}; --force overwrites them`)
  }
  for (const [name, bytes] of files) {
    const path = join(folder, name)
    attempt(path, () => mkdirSync(dirname(path), { recursive: true }), 'write')
    attempt(path, () => writeFileSync(path, bytes), 'write')
  }
  const [make, command] = NEXT[language]?.(folder) ?? ['', 'COMMAND']
  return [
    `${files.size} files are in ${folder}; README.md says how a model is made, ${DOCUMENT} how it speaks with a machine`,
    `Try one:             ${make}retrap device-check 'exec:${command}'`,
    `Give it to a guest:  retrap run disk.img --device 'exec:${command}'`,
  ]
}

export function addDeviceSdk(program: Command, output: ListingOutput): void {
  program
    .command('device-sdk')
    .description(
      'Write a library for device models in C, Python, Rust or Verilog, examples and PROTOCOL.md into a folder',
    )
    .argument('<language>', 'c, python, rust or verilator')
    .argument('<folder>', 'is made where there is none')
    .option('--force', 'overwrite files that differ')
    .addHelpText('after', HELP)
    .action((language: string, folder: string, { force }: { readonly force?: boolean }) =>
      printLines(copyDeviceSdk(language, folder, force === true), output),
    )
}
