import { skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { bootStick, HAS_SEABIOS } from './support/usb-boot.ts'

describe.runIf(HAS_SEABIOS)(`USB${skipNote(HAS_SEABIOS, 'cannot fetch it')}`, () => {
  test('SeaBIOS boots a stick where the board answers in a later turn', async () => {
    const { printed, reason } = await bootStick(() => 1, { devicePlacement: 'deferred' })
    expect([printed.at(-1), reason]).toEqual(['u', 'power-off'])
  }, 120_000)
})
