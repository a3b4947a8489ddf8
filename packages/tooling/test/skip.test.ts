import { expect, test } from 'vitest'
import { skipNote } from '../src/skip.ts'

test('a name speaks of skipping only where the test is skipped', () => {
  expect(skipNote(true, 'nasm is not installed')).toBe('')
  expect(skipNote(false, 'nasm is not installed')).toBe(' (skipped: nasm is not installed)')
})
