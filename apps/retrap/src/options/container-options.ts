/** Values of the options of `retrap exec`, including options of docker with the same meaning. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Option } from 'commander'
import type { SharedFolder } from '@retrap/linux-guest/jobs/job'
import { usage } from './values.ts'

/** A folder in the guest's memory. */
export interface EmptyFolder {
  /** The folder's path in the guest. */
  readonly at: string
  /** Options of a tmpfs, as for mount(8). */
  readonly options: string
}

/** Reads `--share`. */
export function parseSharedFolder(text: string): SharedFolder {
  const [, rest = text, mode] = /^(.*):(ro|rw)$/s.exec(text) ?? []
  return folderOf('--share', text, rest, mode !== 'rw')
}

/**
 * Reads docker's `-v`: its folders are written to where nothing else is said. The marks z and Z are for SELinux, which the guest
 * does not have.
 */
export function parseVolume(text: string): SharedFolder {
  const [, rest = text, modes = ''] = /^(.*):((?:ro|rw|z|Z)(?:,(?:ro|rw|z|Z))*)$/s.exec(text) ?? []
  const { at, ...shared } = folderOf('-v', text, rest, modes.split(',').includes('ro'))
  if (shared.path === at && !rest.includes(':'))
    throw usage(`-v ${text}: write SRC:DST or SRC:DST:ro; an empty folder is --tmpfs ${text}`)
  const [source = ''] = rest.split(':')
  if (!source.includes('/') && !source.startsWith('.'))
    throw usage(
      `-v ${text}: ${source} is a volume of docker's, which there is not here; write a folder, such as ./${source}`,
    )
  return { ...shared, at }
}

function folderOf(option: string, text: string, given: string, readOnly: boolean): SharedFolder {
  // A path may contain colons itself: the longest existing path counts.
  const end = existsSync(given) ? -1 : given.lastIndexOf(':/')
  const [source, target] = end < 0 ? [given, undefined] : [given.slice(0, end), given.slice(end + 1)]
  if (source === '') throw usage(`${option} ${text}: write DIR or SRC:DST, and :ro or :rw behind it`)
  const path = resolve(source)
  const at = target === undefined ? path : resolve(target)
  if (path === '/') throw usage(`${option} /: the whole host is not shared; name the folders that the program needs`)
  if (at === '/') throw usage(`${option} ${text}: a folder is not put in place of /; --root takes it`)
  return { path, at, readOnly }
}

/** An option of a mount of tmpfs. Source: tmpfs(5), mount(8). */
const TMPFS_OPTION = /^(?:rw|ro|(?:no)?(?:exec|suid|dev)|(?:size|mode|uid|gid|nr_inodes)=\w+%?)$/

/** Reads `--tmpfs`. */
export function parseEmptyFolder(text: string): EmptyFolder {
  const [, path = text, options = ''] = /^(.*?):([^/]*)$/s.exec(text) ?? []
  const all = options.split(',').filter(Boolean)
  const wrong = all.find((option) => !TMPFS_OPTION.test(option))
  if (wrong !== undefined)
    throw usage(`--tmpfs ${text}: ${wrong} is not known; rw, ro, noexec, size=, mode=, uid= and gid= are`)
  if (!path.startsWith('/') || resolve(path) === '/')
    throw usage(`--tmpfs ${text}: write the whole path of a folder in the guest, such as /scratch`)
  return { at: resolve(path), options: ['mode=1777', ...all].join(',') }
}

/** Reads `--env`. @returns undefined for a variable of the host that is not there */
export function readVariable(text: string, environment: NodeJS.ProcessEnv): string | undefined {
  if (text === '' || text.startsWith('=')) throw usage(`--env ${text}: write NAME=VALUE, or the NAME of one of yours`)
  if (text.includes('=')) return text
  const value = environment[text]
  return value === undefined ? undefined : `${text}=${value}`
}

/** Reads a file of `--env-file`: a variable a line, as it is written, and comments. @returns values for `--env` */
export function readVariables(path: string): readonly string[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw usage(`--env-file ${path}: ${error instanceof Error ? error.message : 'it cannot be read'}`)
  }
  const lines = text.split(/\r?\n/).map((line) => line.trimStart())
  return lines.filter((line) => line !== '' && !line.startsWith('#'))
}

const ALL_RIGHTS = 'the program is root of a machine of its own, and has all rights there; leave it out'

/** Options of `docker run` that are refused, and their replacements. */
export const OF_DOCKER: Readonly<Record<string, string>> = {
  '--cap-add': ALL_RIGHTS,
  '--detach': 'a run ends with its program; a shell runs it beside others by &',
  '-d': 'a run ends with its program; a shell runs it beside others by &',
  '--hostname': "run 'hostname NAME' in the guest",
  '--mount': 'write --share SRC:DST[:rw] or --tmpfs PATH',
  '--net': 'write --network alone for the network of this host, and nothing for none',
  '--network': 'write --network alone for the network of this host, and nothing for none',
  '-p': 'the guest takes no connections from outside; a server and its clients may run in one guest',
  '--platform': 'write --arch arm64 or --arch x86-64',
  '--privileged': ALL_RIGHTS,
  '--publish': 'the guest takes no connections from outside; a server and its clients may run in one guest',
  '--security-opt': ALL_RIGHTS,
}

/** Makes the option `--pull`, which has docker's values. */
export const pullOption = (): Option =>
  new Option('--pull <when>', 'when a registry is asked for an image (default: if it is not kept here)').choices([
    ...['always', 'missing', 'never'],
  ])
