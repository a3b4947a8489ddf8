/** Where the flash memories of an Arm board are, and what is in them. Source: QEMU's `virt`, "memory map" of its device tree. */
import type { DeviceContext } from '@retrap/device'
import { expect, test } from 'vitest'
import { armFlash } from '../../src/arm/flash.ts'

const BYTES = 64 << 20

test('two chips of 64 MiB follow each other from address 0, erased', async () => {
  const erased = Buffer.alloc(BYTES, 0xff)
  const mapped: { readonly gpa: number; readonly erased: boolean }[] = []
  const made = await armFlash([])
  for (const chip of made) {
    let contents: Uint8Array = new Uint8Array(0)
    const context = {
      ownMemory: (options: { readonly contents: Uint8Array }) => ({ view: (contents = options.contents) }),
      mapMemory: (gpa: number) => mapped.push({ gpa, erased: erased.equals(contents) }),
    }
    chip.attach(context as unknown as DeviceContext)
    expect(contents).toHaveLength(BYTES)
  }
  expect(made.map(({ name }) => name)).toEqual(['flash-0', 'flash-1'])
  expect(mapped).toEqual([
    { gpa: 0, erased: true },
    { gpa: BYTES, erased: true },
  ])
})
