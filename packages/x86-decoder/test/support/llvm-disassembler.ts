/** LLVM's disassembler, through a small program that is compiled for the occasion. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What LLVM makes of a number of instructions. */
export interface Listing {
  readonly count: number
  /** By instruction: bytes with prefixes, or 0 if it is none. */
  readonly lengths: Uint8Array
  /** By instruction: index into `words`. */
  readonly mnemonics: Uint16Array
  /** Mnemonics in small letters, as LLVM spells them in Intel syntax. */
  readonly words: readonly string[]
}

/** The major version that knows APX, AVX10.2 and USER_MSR. */
const LLVM = 22
const MAX_BYTES = 2 ** 30

const TRIPLES = { 16: 'i386-pc-linux-code16', 32: 'i386-pc-linux', 64: 'x86_64-pc-linux' } as const

export class Llvm {
  readonly #program: string
  /** Where LLVM's library is, and what came with it. */
  readonly #libraries: string

  private constructor(program: string, libraries: string) {
    this.#program = program
    this.#libraries = libraries
  }

  /** Compiles the program, or says why that is not possible here. */
  static make(): Llvm | string {
    // Installed, or beside the folder of programs that were unpacked for the tests.
    const unpacked = (process.env['PATH'] ?? '').split(':').map((path) => join(path, '../usr/lib'))
    const library = ['/usr/lib', ...unpacked]
      .flatMap((root) => [
        join(root, `llvm-${LLVM}/lib/libLLVM.so`),
        join(root, `x86_64-linux-gnu/libLLVM.so.${LLVM}.1`),
        join(root, `x86_64-linux-gnu/libLLVM-${LLVM}.so`),
      ])
      .find((file) => existsSync(file))
    if (library === undefined) return `no libLLVM of version ${LLVM} (Debian: llvm-${LLVM})`
    const folder = mkdtempSync(join(tmpdir(), 'retrap-llvm-'))
    const program = join(folder, 'llvm-disassembler')
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    try {
      const source = fileURLToPath(new URL('llvm-disassembler.c', import.meta.url))
      // What the library itself needs is found when it runs.
      const link = '-Wl,--unresolved-symbols=ignore-in-shared-libs'
      execFileSync('cc', ['-O2', link, '-o', program, source, library], { stdio: 'pipe' })
    } catch (error) {
      return `no C compiler: ${error instanceof Error ? error.message : String(error)}`
    }
    return new Llvm(program, dirname(library))
  }

  /** The first instruction of each slot of 16 bytes. */
  slots(mode: 16 | 32 | 64, slots: Uint8Array): Listing {
    return this.#run(mode, 'slots', slots, slots.length / 16)
  }

  /** Instruction after instruction. */
  sweep(mode: 16 | 32 | 64, code: Uint8Array): Listing {
    return this.#run(mode, 'sweep', code, code.length)
  }

  #run(mode: 16 | 32 | 64, what: 'slots' | 'sweep', input: Uint8Array, most: number): Listing {
    const { stdout, stderr, status } = spawnSync(this.#program, [TRIPLES[mode], what], {
      input,
      maxBuffer: MAX_BYTES,
      env: { ...process.env, LD_LIBRARY_PATH: this.#libraries },
    })
    if (status !== 0) throw new Error(`llvm-disassembler ended with ${status}: ${stderr?.toString() ?? ''}`)
    const lengths = new Uint8Array(most)
    const mnemonics = new Uint16Array(most)
    const words: string[] = []
    const known = new Map<string, number>()
    let count = 0
    for (let at = 0; at < stdout.length; count++) {
      lengths[count] = stdout[at] as number
      const end = at + 2 + (stdout[at + 1] as number)
      const word = stdout.toString('latin1', at + 2, end)
      let index = known.get(word)
      if (index === undefined) {
        index = words.push(word) - 1
        known.set(word, index)
      }
      mnemonics[count] = index
      at = end
    }
    return { count, lengths, mnemonics, words }
  }
}
