import { basename } from 'node:path'
import type { FileName, FileUse, Job } from './job.ts'

const READ: ReadonlySet<string> = new Set(['kernel', 'initrd', 'firmware', 'cdrom', 'option-rom', 'symbols', 'replay'])
const WRITTEN: ReadonlySet<string> = new Set(['hda', 'hdb', 'hdc', 'hdd', 'fda', 'fdb', 'firmware-vars'])
/** Options that name an output file of `retrap`, with the text before its name. */
const OUTPUTS: ReadonlyMap<string, string> = new Map([
  ['record', ''],
  ['save-on-exit', ''],
  ['screenshot-on-exit', ''],
  ['profile', ''],
  ['trace-to', ''],
  ['audio', 'wav:'],
  ['display', 'png:'],
  ['serial', 'file:'],
])
const OPTION = /^--([a-z0-9-]+)=/

/** The files that a job's arguments name, without outputs of `retrap`. */
export function inputNames({ args }: Pick<Job, 'args'>): FileName[] {
  const written = args.includes('--snapshot') ? 'read' : 'write'
  return args.flatMap((text, arg) => {
    const [before = '', option] = OPTION.exec(text) ?? []
    const at = before.length
    const value = text.slice(at)
    if (option === undefined) return text.startsWith('-') ? [] : named(arg, 0, text, written)
    if (READ.has(option)) return named(arg, at, value, 'read')
    if (WRITTEN.has(option)) return named(arg, at, value, option === 'firmware-vars' ? 'write' : written)
    if (option === 'module') return named(arg, at, value.split(' ', 1)[0] ?? '', 'read')
    if (option === 'device') {
      // `retrap` takes a name with a slash or this ending for a module.
      const name = value.split(',', 1)[0] ?? ''
      return /[/\\]|\.[cm]?[jt]s$/.test(name) ? named(arg, at, name, 'code') : []
    }
    if (option !== 'drive') return []
    const [, head = '', name = ''] = /^((?:.*,)?file=)((?:[^,]|,,)*)/.exec(value) ?? []
    const stays = /(^|,)(snapshot|readonly)=on(,|$)|(^|,)media=cdrom(,|$)/.test(value)
    return named(arg, at + head.length, name, stays ? 'read' : written)
  })
}

function named(arg: number, at: number, name: string, use: FileUse): FileName[] {
  return name === '' || /^https?:/.test(name) ? [] : [{ arg, at, name, use }]
}

/**
 * The files that a job's arguments have `retrap` write.
 *
 * @returns names, or a mistake: in a store such a file has a name without a folder
 */
export function outputNames({ args }: Pick<Job, 'args'>): { readonly names: string[]; readonly mistake?: string } {
  const names: string[] = []
  for (const text of args) {
    const [before = '', option = ''] = OPTION.exec(text) ?? []
    const kind = OUTPUTS.get(option)
    if (kind === undefined || !text.startsWith(kind, before.length)) continue
    const name = text.slice(before.length + kind.length)
    if (!isPlainName(name))
      return { names, mistake: `--${option}: with --store give a name without a folder, not ${name}` }
    names.push(name)
  }
  return { names }
}

/** Whether a name is that of a file right in a folder. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name) && basename(name) === name
}
