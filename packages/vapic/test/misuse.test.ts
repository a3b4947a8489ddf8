import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import {
  decodeSaved,
  encodeSaved,
  findBackward,
  findInstruction,
  patchFor,
  readStructure,
  VapicError,
  VapicPatcher,
} from '../src/index.ts'
import { Guest } from './support/guest.ts'

const guest = new Guest()
const saved = guest.patcher.save()
const bytes = Uint8Array.of(0xa1, 0x80, 0, 0xfe, 0xff)

describe('a value of the wrong kind throws a VapicError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    ['new VapicPatcher', (host: never) => new VapicPatcher(host), [guest]],
    ['restore', (each: never) => guest.patcher.restore(each), [saved]],
    ['rom_state of encodeSaved', (rom_state: never) => encodeSaved({ ...saved, rom_state }), [saved.rom_state]],
    ['encodeSaved', encodeSaved as never, [saved]],
    ['decodeSaved', decodeSaved as never, [encodeSaved(saved)]],
    ['findInstruction', findInstruction as never, [bytes]],
    ['findBackward', findBackward as never, [bytes, 'read']],
    ['patchFor', patchFor as never, [findInstruction(bytes), 0x8000_1000, 0x8000_2000]],
    ['readStructure', readStructure as never, [bytes]],
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, VapicError)).toEqual([])
  })
})
