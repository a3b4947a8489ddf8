import { expect, test, vi } from 'vitest'
import { Keyboard, Mouse, Screen } from '../../src/index.ts'
import { encryptDes } from '../../src/vnc/des.ts'

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))

// Source: FIPS PUB 81, "DES Modes of Operation", table B1: "Now is the time for all " in electronic codebook mode.
test('each block is enciphered by itself', () => {
  const plain = Buffer.from('Now is the time for all ')
  const expected = bytes('3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53')
  expect(encryptDes(bytes('0123456789abcdef'), plain)).toEqual(expected)
})

test('where a host has no DES, there is no password', async () => {
  vi.resetModules()
  vi.stubGlobal('process', undefined)
  const { VncServer } = await import('../../src/vnc/server.ts')
  vi.unstubAllGlobals()
  const parts = { screen: new Screen(), keyboard: new Keyboard(), mouse: new Mouse() }
  expect(() => new VncServer({ ...parts, password: 'secret' })).toThrow('expected a host with node:crypto')
  expect(new VncServer(parts).hasPassword).toBe(false)
})
