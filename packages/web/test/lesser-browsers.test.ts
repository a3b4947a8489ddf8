/** Browsers that lack something: WebKitGTK has no SharedArrayBuffer, private windows keep nothing, Safari 18 lets no page write files. */
import { afterEach, expect, test, vi } from 'vitest'
import { createMachine, importKeptDisk } from '../src/index.ts'

afterEach(() => vi.unstubAllGlobals())

test('a page that is isolated, in a browser without SharedArrayBuffer, asks its Worker for messages', async () => {
  vi.stubGlobal('crossOriginIsolated', true)
  vi.stubGlobal('SharedArrayBuffer', undefined)
  const asked: unknown[] = []
  const createWorker = (): Worker => {
    const worker = new EventTarget() as Worker & { postMessage(message: { id: number; given: unknown[] }): void }
    worker.terminate = () => {}
    worker.postMessage = ({ id, given }: { id: number; given: unknown[] }) => {
      asked.push(given[0])
      worker.dispatchEvent(new MessageEvent('message', { data: { answer: id, value: { lock: null, turns: null } } }))
    }
    return worker
  }
  const firmware = new Uint8Array(1)
  await createMachine({ firmware, createWorker })
  expect(asked).toEqual([expect.objectContaining({ shared: false })])
  await expect(createMachine({ firmware, createWorker, transport: 'shared' })).rejects.toThrow(
    "transport 'shared': this browser has no SharedArrayBuffer; use 'auto'",
  )
})

const QCOW2 = new Blob([Uint8Array.of(0x51, 0x46, 0x49, 0xfb)])

test('a private window says that it keeps no disk', async () => {
  // WebKit's words; Firefox has "Security error".
  const getDirectory = (): Promise<never> =>
    Promise.reject(new DOMException('for an unknown transient reason', 'UnknownError'))
  vi.stubGlobal('navigator', { storage: { getDirectory } })
  await expect(importKeptDisk('disk', QCOW2)).rejects.toThrow(
    /this browser keeps nothing for this page: .* no private window$/,
  )
})

test('a browser that lets no page write files says so', async () => {
  const folder = { getDirectoryHandle: async () => folder, getFileHandle: async () => ({}) }
  vi.stubGlobal('navigator', { storage: { getDirectory: async () => folder } })
  await expect(importKeptDisk('disk', QCOW2)).rejects.toThrow(
    /cannot be imported: this browser lets no page write files/,
  )
})
