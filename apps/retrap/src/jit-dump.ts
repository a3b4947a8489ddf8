/** `--jit-dump`: what the JIT has made of which guest code, a file for each unit. */
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { moduleText } from '@retrap/wasm-emitter'
import type { CompiledCode } from '@retrap/x86-cpu'
import { decodeInto, formatIntel, Instruction } from '@retrap/x86-decoder'
import { CliError } from './cli-error.ts'
import { troubleWith } from './files.ts'
import { makeFolder } from './make-folder.ts'

/** Digits of a unit's number in its file's name. */
const NUMBER_DIGITS = 5
/** Columns of an instruction's bytes. */
const BYTES_WIDTH = 22

/** The text of a unit: its guest code as comments, then its module. */
export function compiledText({ module, bits, instructions }: CompiledCode): string {
  const insn = new Instruction()
  const lines = instructions.map(({ address, bytes }) => {
    decodeInto(bytes, 0, bytes.length, bits, insn)
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    return `;; ${address.toString(16).padStart(bits / 4, '0')}  ${hex.padEnd(BYTES_WIDTH)} ${formatIntel(insn, { address })}\n`
  })
  return `${lines.join('')}${moduleText(module)}`
}

/**
 * Makes the folder of a dump.
 *
 * @param warn - told once, where a file cannot be written: the machine goes on without the dump
 * @returns what writes a unit there, as `NUMBER-ADDRESS.wat`
 * @throws CliError where the folder cannot be made
 */
export function jitDump(folder: string, warn: (message: string) => void): (code: CompiledCode) => void {
  try {
    makeFolder(resolve(folder))
  } catch (error) {
    throw new CliError('ERR_INPUT', `cannot make the folder ${folder}: ${troubleWith(error, 'write')}`)
  }
  let units = 0
  let hasFailed = false
  return (code) => {
    if (hasFailed) return
    const number = String(units++).padStart(NUMBER_DIGITS, '0')
    const path = join(folder, `${number}-${code.instructions[0]!.address.toString(16)}.wat`)
    try {
      writeFileSync(path, compiledText(code))
    } catch (error) {
      hasFailed = true
      warn(`cannot write ${path}: ${troubleWith(error, 'write')}; no more units are written`)
    }
  }
}
