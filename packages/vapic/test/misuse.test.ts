import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import * as vapic from '../src/index.ts'
import { Guest } from './support/guest.ts'

const guest = new Guest()
const saved = guest.patcher.save()
const bytes = Uint8Array.of(0xa1, 0x80, 0, 0xfe, 0xff)

describe('a value of the wrong kind throws a VapicError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    ['new VapicPatcher', (host: never) => new vapic.VapicPatcher(host), [guest]],
    ['restore', (each: never) => guest.patcher.restore(each), [saved]],
    ['rom_state of encodeSaved', (rom_state: never) => vapic.encodeSaved({ ...saved, rom_state }), [saved.rom_state]],
    ['encodeSaved', vapic.encodeSaved as never, [saved]],
    ['decodeSaved', vapic.decodeSaved as never, [vapic.encodeSaved(saved)]],
    ['findInstruction', vapic.findInstruction as never, [bytes]],
    ['findBackward', vapic.findBackward as never, [bytes, 'read']],
    ['patchFor', vapic.patchFor as never, [vapic.findInstruction(bytes), 0x8000_1000, 0x8000_2000]],
    ['readStructure', vapic.readStructure as never, [bytes]],
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, vapic.VapicError)).toEqual([])
  })
})
