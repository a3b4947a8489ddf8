// Whole systems: installers, boot loaders, firmware's own programs, Xen, and Debian from all kinds of disk, of amd64
// and arm64. Each
// step is a row; the summary says how long each has taken.
// @programs: mformat mcopy mmd mke2fs debugfs e2fsck grub-mkimage xorriso qemu-system-x86_64
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { ARM_ROWS } from '../support/boots/arm.ts'
import { DISK_ROWS } from '../support/boots/disks.ts'
import { NETWORK_ROW } from '../support/boots/network.ts'
import type { BootRow } from '../support/boots/row.ts'
import { SCREEN_ROWS } from '../support/boots/screens.ts'
import { XEN_ROW } from '../support/boots/xen.ts'

const ROWS: readonly BootRow[] = [...DISK_ROWS, ...SCREEN_ROWS, XEN_ROW, NETWORK_ROW, ...ARM_ROWS]

let folder = ''
const times: string[] = []

export const soak: Soak = {
  name: 'boots',
  count: ROWS.length,
  setup() {
    folder = mkdtempSync(join(tmpdir(), 'retrap-boots-'))
    mkdirSync(join(folder, 'shared'))
  },
  async step(rng, index) {
    const row = ROWS[index % ROWS.length]!
    rng.note('row', row.name)
    const scratch = mkdtempSync(join(folder, 'row-'))
    const start = performance.now()
    const trouble = await row.run(scratch, join(folder, 'shared'))
    times.push(`${row.name}: ${((performance.now() - start) / 1000).toFixed(0)} s`)
    rmSync(scratch, { recursive: true })
    return trouble
  },
  teardown() {
    rmSync(folder, { recursive: true, force: true })
  },
  summary: () => times.join('\n'),
}
