import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OUT_BYTES } from './layout.ts'
import type { Batch } from './layout.ts'

const SOURCE = new URL('./native.c', import.meta.url).pathname
const ARGUMENTS = ['-O2', '-fno-stack-protector', '-fPIE', '-pie', '-Wall', '-Wextra', '-Werror']

/** The program that runs cases on the host's CPU. */
export interface NativeCpu {
  /** How it runs: on the CPU itself, or in qemu-user. */
  readonly description: string
  /** @returns `batch.count` times OUT_BYTES */
  run(batch: Batch): Uint8Array
}

/**
 * Builds native.c, once per version of it, or says why that cannot be.
 */
export function nativeCpu(): NativeCpu | string {
  const compiler = process.arch === 'x64' ? 'gcc' : 'x86_64-linux-gnu-gcc'
  if (process.platform !== 'linux') return 'the reference runs on Linux only'
  const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' })
  if (version.status !== 0) return `no ${compiler} to build the reference with`
  const hash = createHash('sha256').update(readFileSync(SOURCE)).update(version.stdout).update(ARGUMENTS.join(' '))
  const folder = join(tmpdir(), 'retrap-semantics')
  mkdirSync(folder, { recursive: true })
  const program = join(folder, hash.digest('hex').slice(0, 16))
  if (!existsSync(program)) {
    const fresh = `${program}.${process.pid}`
    const built = spawnSync(compiler, [...ARGUMENTS, '-o', fresh, SOURCE], { encoding: 'utf8' })
    if (built.status !== 0) return `${compiler} cannot build the reference: ${built.stderr}`
    renameSync(fresh, program)
  }
  if (process.arch === 'x64') return { description: 'the host CPU', run: (batch) => runWith(program, [], batch) }
  const emulator = 'qemu-x86_64'
  if (spawnSync(emulator, ['--version']).status !== 0) return `no ${emulator} to run the reference with`
  return { description: emulator, run: (batch) => runWith(emulator, ['-cpu', 'max', program], batch) }
}

function runWith(command: string, args: readonly string[], batch: Batch): Uint8Array {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(batch.code.length, 4)
  header.writeUInt32LE(batch.count, 8)
  const expected = batch.count * OUT_BYTES
  const result = spawnSync(command, args, {
    input: Buffer.concat([header, batch.code, batch.cases]),
    maxBuffer: expected + 0x1000,
    timeout: 70_000,
  })
  if (result.status !== 0 || result.stdout.length !== expected) {
    const how = result.error?.message ?? result.signal ?? `status ${result.status}`
    throw new Error(
      `the reference ended with ${how}, ${result.stdout.length} of ${expected} bytes: ${result.stderr.toString()}`,
    )
  }
  return result.stdout
}
