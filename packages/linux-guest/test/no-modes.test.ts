import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test, vi } from 'vitest'
import { LocalShare } from '@retrap/linux-guest/machine/share/local-share'

// As a file system without modes, such as FAT, answers.
vi.mock(import('node:fs'), async (original) => {
  const real = await original()
  const chmodSync = (): void => {
    throw Object.assign(new Error('EPERM: operation not permitted, chmod'), { code: 'EPERM' })
  }
  return { ...real, chmodSync }
})

test.skipIf(!hasProc)(
  `files are made where the host keeps no modes${skipNote(hasProc, 'there is no /proc')}`,
  async () => {
    const folder = temporaryFolder('no-modes')
    const mask = process.umask(0o077)
    try {
      const share = new LocalShare(folder)
      const root = share.root()
      const { node, file } = root.create('file', {
        ...{ read: true, write: true, truncate: false },
        ...{ exclusive: true, mode: 0o666 },
      })
      root.makeDirectory('dir', 0o777)
      expect(['file', 'dir'].map((name) => lstatSync(join(folder, name)).mode & 0o777)).toEqual([0o600, 0o700])
      await file.close()
      node.release()
      root.release()
      await share.close()
    } finally {
      process.umask(mask)
    }
  },
)
