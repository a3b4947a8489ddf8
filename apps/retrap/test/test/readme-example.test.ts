/** The tests of a kernel in the READMEs are run as they are, with Debian's kernel and busybox. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { afterAll, expect } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'

// Linux is booted.
const test = sliceTests(8)

const place = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
// Below the app, so that packages are found.
mkdirSync(place('../../temp'), { recursive: true })
const folder = mkdtempSync(place('../../temp/readme-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** The file of tests in a README. */
const exampleOf = (path: string): string | undefined =>
  /^```ts\n(\/\/ kernel\.test\.ts\n[^]*?)^```$/m.exec(readFileSync(place(path), 'utf8'))?.[1]

const linux = await linuxWith([], '')
const [busybox] = (await debianMembers([{ package: 'busybox-static', members: ['./bin/busybox'] }])) ?? []
const isThere = linux !== undefined && busybox !== undefined

test.runIf(isThere)(
  `is the same in both, and passes${skipNote(isThere, 'cannot fetch it')}`,
  { timeout: 600_000 },
  async () => {
    const example = exampleOf('../../../../README.md')
    expect(example).toBeDefined()
    expect(exampleOf('../../../../packages/test/README.md')).toBe(example)
    copyFileSync(linux!.kernelPath, join(folder, 'vmlinuz'))
    writeFileSync(join(folder, 'initrd.img'), buildInitramfs(readFileSync(join(busybox!, 'bin/busybox'))))
    writeFileSync(join(folder, 'kernel.test.ts'), example!)
    const config = `import shared from '@retrap/tooling/vitest'
export default { ...shared, test: { ...shared.test, include: ['*.test.ts'], reporters: ['default'] } }
`
    writeFileSync(join(folder, 'vitest.config.ts'), config)
    const vitest = place('../../node_modules/vitest/vitest.mjs')
    const env = { ...process.env, NO_COLOR: '1' }
    const output = execFileSync(process.execPath, [vitest, 'run'], { cwd: folder, env, encoding: 'utf8' })
    expect(output).toContain('Tests  1 passed (1)')
  },
)
