import { basename, dirname } from 'node:path/posix'
import { isElf } from '@retrap/basics'
import type { LinuxArchitecture } from '../linux/debian.ts'
import { ExecError } from './errors.ts'
import type { JobFolder, JobProgram } from './job.ts'
import { type FoundFile, type GuestFiles, isDirectory } from './lookup.ts'
import type { ExecConfig } from './root.ts'

/** A program as the user asks for it, and how to run it. */
export interface WantedProgram {
  readonly arch: LinuxArchitecture
  /** The program and its arguments; empty: the root names the program. */
  readonly command: readonly string[]
  /** Variables that are set, as `NAME=VALUE`. */
  readonly env: readonly string[]
  /** The user as `UID`, `UID:GID`, or by names; empty: the user that the image names, else root. */
  readonly user: string
  /** An absolute path; empty: the root's default, else `/`. */
  readonly workingDirectory: string
  /** A working directory that is missing is no error: the guest is to make it. */
  readonly makesDirectory?: boolean
  /** The kind of its terminal, as in `TERM`; absent: it has none. */
  readonly terminal?: string | undefined
}

/** A program in the form for a guest. */
export interface Program extends JobProgram {
  readonly home: JobFolder | undefined
  readonly hostname: string
  readonly files: Readonly<Record<string, string>>
}

export const USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const ANY_MAY_EXECUTE = 0o111

/** Files that programs expect, for roots that lack them. */
const usualFiles = (hostname: string): Readonly<Record<string, string>> => ({
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  '/etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  '/etc/hosts': `127.0.0.1 localhost ${hostname}\n::1 localhost\n`,
  '/etc/hostname': `${hostname}\n`,
  '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  '/etc/resolv.conf': 'nameserver 10.0.2.3\n',
})
const USUAL_NAME = 'retrap'
const USUAL_FILES = usualFiles(USUAL_NAME)

/** The user, folder and environment of programs in a root, and files that the root lacks. */
export type ProgramPlace = Omit<Program, 'program'>

/** Finds a program, its user and its folder among the files of the guest. @throws ExecError 125, 126, 127 */
export async function readProgram(wanted: WantedProgram, config: ExecConfig, files: GuestFiles): Promise<Program> {
  const words = [...config.entrypoint, ...(wanted.command.length > 0 ? wanted.command : config.command)]
  const [name] = words
  if (name === undefined || name === '') throw new ExecError(125, 'no program is named, and the root names none')
  const place = await readPlace(wanted, config, files)
  const path = place.env.find((one) => one.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  const found = await findProgram(name, path, place.workingDirectory, files)
  await checkProgram(name, found, wanted.arch, files)
  return { program: words, ...place }
}

/** Finds the user and the folder of programs among the files of the guest. @throws ExecError 125 */
export async function readPlace(
  wanted: Omit<WantedProgram, 'arch' | 'command'>,
  config: ExecConfig,
  files: GuestFiles,
): Promise<ProgramPlace> {
  const { uid, gid, home } = await readUser(wanted.user || config.user, files)
  const workingDirectory = wanted.workingDirectory || config.workingDirectory || '/'
  const known = await files.find(workingDirectory)
  const folder =
    known ?? (wanted.makesDirectory === true ? { path: await pathWithoutLinks(workingDirectory, files) } : known)
  if (folder === undefined || (known !== undefined && !isDirectory(known)))
    throw new ExecError(125, `${workingDirectory}: there is no such folder in the guest (--workdir)`)
  const { hostname = USUAL_NAME } = config
  const env = new Map<string, string>([
    ['PATH', await searchPath(config, files)],
    ['HOME', home],
    ['HOSTNAME', hostname],
    ...(wanted.terminal === undefined ? [] : [['TERM', wanted.terminal] as const]),
  ])
  for (const one of [...config.env, ...wanted.env]) {
    const at = one.indexOf('=')
    if (at > 0) env.set(one.slice(0, at), one.slice(at + 1))
  }
  const lacking: Record<string, string> = {}
  for (const [file, text] of Object.entries({ ...usualFiles(hostname), ...config.files }))
    if ((await files.find(file)) === undefined) lacking[file] = text
  return {
    env: [...env].map(([key, value]) => `${key}=${value}`),
    uid,
    gid,
    workingDirectory: folder.path || '/',
    home: (await needsHome(home, files)) ? { path: home, uid, gid } : undefined,
    hostname,
    files: lacking,
  }
}

/** The path without links of a folder that may be missing. */
export async function pathWithoutLinks(path: string, files: GuestFiles): Promise<string> {
  return (await files.find(path))?.path ?? `${await pathWithoutLinks(dirname(path), files)}/${basename(path)}`
}

/** Returns the root's own search path as far as its folders exist, followed by the usual folders. */
async function searchPath({ searchPath: own = '' }: ExecConfig, files: GuestFiles): Promise<string> {
  const places = own.split(':').filter((place) => place.startsWith('/'))
  const found = await Promise.all(places.map((place) => files.find(place).catch(() => undefined)))
  const there = places.filter((_, i) => found[i] !== undefined && isDirectory(found[i]))
  return [...new Set([...there, ...USUAL_PATH.split(':')])].join(':')
}

/** Whether a home folder is missing, or exists only as a mount point. Some users have a home that never exists. */
async function needsHome(home: string, files: GuestFiles): Promise<boolean> {
  if (!home.startsWith('/') || home === '/' || home === '/root' || home.startsWith('/nonexistent')) return false
  return (await files.find(home))?.isMountPoint !== false
}

/** ELF's numbers of the instruction sets that a processor has (System V ABI, "ELF Header", `e_machine`), and of their classes. */
const EXECUTED: Readonly<Record<LinuxArchitecture, readonly number[]>> = { amd64: [62, 3], arm64: [183, 40] }
const MACHINE_AT = 18
const HEAD_BYTES = 20

/** A shell would take a program of another processor for a script. */
async function checkProgram(name: string, file: FoundFile, arch: LinuxArchitecture, files: GuestFiles): Promise<void> {
  const head = await files.begin(file.path, HEAD_BYTES)
  if (head?.length !== HEAD_BYTES || !isElf(head)) return
  if (!EXECUTED[arch].includes(new DataView(head.buffer, head.byteOffset).getUint16(MACHINE_AT, true)))
    throw new ExecError(126, `${name}: it is no program for this processor (--arch)`)
}

async function findProgram(name: string, path: string, folder: string, files: GuestFiles): Promise<FoundFile> {
  if (name.includes('/')) {
    const whole = name.startsWith('/') ? name : `${folder}/${name}`
    const found = await files.find(whole)
    if (found === undefined) throw new ExecError(127, `${name}: there is no such program in the guest`)
    if (!isExecutable(found))
      throw new ExecError(126, `${name}: ${isDirectory(found) ? 'it is a folder' : 'it may not be executed'}`)
    return found
  }
  let isOther = false
  for (const place of path.split(':')) {
    const whole = `${place.startsWith('/') ? place : `${folder}/${place}`}/${name}`
    const found = await files.find(whole)
    if (found === undefined) continue
    if (isExecutable(found)) return found
    isOther = true
  }
  if (isOther) throw new ExecError(126, `${name}: it may not be executed`)
  throw new ExecError(127, `${name}: there is no such program in the guest's PATH, ${path}`)
}

export const isExecutable = (one: FoundFile): boolean => !isDirectory(one) && (one.stat.mode & ANY_MAY_EXECUTE) !== 0

/** The numbers of a user, whose name is in the guest's files. */
async function readUser(
  user: string,
  files: GuestFiles,
): Promise<{ readonly uid: number; readonly gid: number; readonly home: string }> {
  const [name = '', group] = (user || '0').split(':')
  const users = await entriesOf('/etc/passwd', files)
  const isNumber = /^\d+$/.test(name)
  const found = users.find(([known, , number]) => (isNumber ? number === name : known === name))
  if (found === undefined && !isNumber)
    throw new ExecError(125, `--user ${user}: there is no user '${name}' in the guest`)
  const uid = Number(found?.[2] ?? name)
  const home = found?.[5] ?? (uid === 0 ? '/root' : '/')
  if (group === undefined || group === '') return { uid, gid: Number(found?.[3] ?? 0), home }
  if (/^\d+$/.test(group)) return { uid, gid: Number(group), home }
  const line = (await entriesOf('/etc/group', files)).find(([known]) => known === group)
  if (line === undefined) throw new ExecError(125, `--user ${user}: there is no group '${group}' in the guest`)
  return { uid, gid: Number(line[2]), home }
}

async function entriesOf(path: string, files: GuestFiles): Promise<readonly (readonly string[])[]> {
  const text = (await files.read(path)) ?? USUAL_FILES[path] ?? ''
  return text.split('\n').map((line) => line.split(':'))
}
