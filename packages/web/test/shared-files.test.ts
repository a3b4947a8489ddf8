/** Files that a page shares with a guest: names that a page may give them, and room. The guest's side is in the site's tests. */
import { expect, test } from 'vitest'
import { SharedFiles } from '../src/worker/shared-files.ts'

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)

test('folders are made, listed by names, and files are read again', async () => {
  const files = new SharedFiles()
  files.writeFile('b/c/deep.txt', bytes('deep'))
  files.writeFile('/b//note', bytes('first'))
  files.writeFile('b/note', bytes('one'))
  files.writeFile('a.txt', bytes(''))
  expect(await files.listFiles('')).toEqual([
    { name: 'a.txt', kind: 'file', bytes: 0 },
    { name: 'b', kind: 'folder', bytes: 0 },
  ])
  expect(await files.listFiles('b/')).toEqual([
    { name: 'c', kind: 'folder', bytes: 0 },
    { name: 'note', kind: 'file', bytes: 3 },
  ])
  expect(files.readFile('b/note')).toEqual(bytes('one'))
  expect([files.readFile('b'), files.readFile('b/none'), files.readFile('')]).toEqual([null, null, null])
  expect([await files.listFiles('none'), await files.listFiles('a.txt'), await files.listFiles('a.txt/b')]).toEqual([
    [],
    [],
    [],
  ])
})

test.each([
  ['../up', 'none of them . or ..'],
  ['a/./b', 'none of them . or ..'],
  ['a\0b', 'none of them . or ..'],
  ['é'.repeat(128), 'at most 255 bytes'],
  ['', 'names no file'],
  ['file/below', 'is a file, not a folder'],
  ['folder', 'it is a folder'],
])("a file is not written at '%s'", (path, reason) => {
  const files = new SharedFiles()
  files.writeFile('file', bytes('x'))
  files.writeFile('folder/x', bytes('x'))
  expect(() => files.writeFile(path, bytes('y'))).toThrow(
    expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringContaining(reason) as string }),
  )
})

test('there is room for 256 MiB', () => {
  const files = new SharedFiles()
  const half = new Uint8Array(128 << 20)
  files.writeFile('a', half)
  files.writeFile('a', half)
  expect(() => files.writeFile('b', new Uint8Array((128 << 20) + 1))).toThrow('all files take at most 256 MiB')
  expect(files.readFile('b')).toBeNull()
})
