import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const nameOf = (path: string): string => basename(path, '.ko').replaceAll('-', '_')

/** The files of a kernel's modules by their names. */
export function moduleFiles(kernel: string): ReadonlyMap<string, string> {
  return new Map(
    globSync('lib/modules/**/*.ko', { cwd: kernel }).map((path) => [nameOf(path), join(kernel, path)] as const),
  )
}

/** Adds a module behind those that it needs: its `.modinfo` section names them. Those of the kernel itself have no file. */
export function addModule(name: string, files: ReadonlyMap<string, string>, order: string[]): void {
  const path = files.get(name)
  if (path === undefined || order.includes(name)) return
  const text = readFileSync(path).toString('latin1')
  const needs = /\0depends=([^\0]*)\0/.exec(text)?.[1] ?? ''
  for (const need of needs.split(',')) addModule(need.replaceAll('-', '_'), files, order)
  order.push(name)
}
