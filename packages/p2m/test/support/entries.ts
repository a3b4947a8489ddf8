import { P2mEntry, P2mError, type P2m } from '../../src/index.ts'

/** The code of the error that an action throws; `none` if it throws none. */
export function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof P2mError) return error.code
    throw error
  }
  return 'none'
}

export function entryAt(p2m: P2m, gfn: number): P2mEntry {
  const entry = new P2mEntry()
  p2m.lookup(gfn, entry)
  return entry
}

export function typeAt(p2m: P2m, gfn: number): number {
  return entryAt(p2m, gfn).type
}

/** Whether a vCPU could read, and write, without anybody's help. */
export function reach(p2m: P2m, gfn: number): [read: boolean, write: boolean] {
  return [p2m.translate(gfn * 4096) >= 0, p2m.translateWrite(gfn * 4096) >= 0]
}
