/** Builds designs in Verilog, as devices, with Verilator and the host's C++ compiler. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, readFileSync, realpathSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { keep } from '@retrap/debian'
import { hasProgram } from './skip.ts'

/** A design with its driver program. */
export interface Design {
  /** The name of the top module. */
  readonly top: string
  /** Files in Verilog. */
  readonly sources: readonly string[]
  /** A file in C++ with `main`. */
  readonly main: string
  /** Folders of the headers that it includes. */
  readonly include: readonly string[]
}

const run = promisify(execFile)
const TRANSLATE = ['--cc', '--trace', '--savable', '-Wall', '-O3']
/** The parts of Verilator's library that a program with a trace and snapshots needs. */
const LIBRARY = ['verilated.cpp', 'verilated_save.cpp', 'verilated_threads.cpp', 'verilated_vcd_c.cpp']

/** Whether the programs for {@link buildDesign} are installed. */
export const hasVerilator: boolean = hasProgram('verilator_bin') && hasProgram('g++')

/** Verilator's own folder, beside the program as in packages. */
function verilatorRoot(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const program = folders.map((folder) => join(folder, 'verilator_bin')).find((path) => existsSync(path))
  const above = dirname(dirname(realpathSync(program ?? '/usr/bin')))
  return [join(above, 'usr/share/verilator'), join(above, 'share/verilator')].find((path) => existsSync(path)) ?? above
}

/**
 * Builds a program for a design. It is cached by the contents of all inputs.
 *
 * @returns its path
 * @throws Error with the output of Verilator or the compiler
 */
export async function buildDesign(design: Design): Promise<string> {
  const root = verilatorRoot()
  const env = { ...process.env, VERILATOR_ROOT: root }
  const { stdout: versions } = await run('sh', ['-c', 'verilator_bin --version; g++ --version'], { env })
  const flags = (objects: string): string[] => [
    ...['-O1', '-std=c++14', '-DVM_TRACE=1', `-I${root}/include`, `-I${root}/include/vltstd`, `-I${objects}`],
    ...design.include.map((folder) => `-I${resolve(folder)}`),
  ]
  const library = await keep({
    name: join('verilated', hashOf(versions, ...LIBRARY)),
    async make(folder) {
      await mkdir(folder)
      const compile = async (file: string): Promise<void> =>
        void (await run('g++', [...flags(folder), '-c', join(root, 'include', file), '-o', join(folder, `${file}.o`)]))
      await Promise.all(LIBRARY.map(compile))
      return { versions }
    },
  })
  const files = [...design.sources, design.main, ...design.include.flatMap((at) => globSync(join(at, '*.h')).sort())]
  const { folder } = await keep({
    name: join(
      'designs',
      `${design.top}-${hashOf(versions, ...TRANSLATE, ...files.map((file) => readFileSync(file)))}`,
    ),
    async make(made, scratch) {
      const objects = join(scratch, 'objects')
      const sources = design.sources.map((file) => resolve(file))
      await run('verilator_bin', [...TRANSLATE, '--Mdir', objects, '--top-module', design.top, ...sources], { env })
      // One unit compiles in a third of the time.
      const units = [...globSync('*.cpp', { cwd: objects }).sort(), resolve(design.main)].reverse()
      const all = join(objects, 'all.cc')
      await writeFile(all, units.map((file) => `#include "${file}"\n`).join(''))
      await mkdir(made)
      const linked = [all, ...LIBRARY.map((file) => join(library.folder, `${file}.o`)), '-pthread']
      await run('g++', [...flags(objects), ...linked, '-o', join(made, design.top)])
      return { versions }
    },
  })
  return join(folder, design.top)
}

function hashOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length} `).update(part)
  return hash.digest('hex').slice(0, 16)
}
