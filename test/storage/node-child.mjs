/**
 * A process for test/storage/node.test.ts, to be limited or deprived of what ours needs: prints what happened as JSON.
 *
 * Arguments: the directory of the compiled sources, the directory to work in, what to do.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [, , compiled, directory, task] = process.argv
const { NodeStorage } = await import(pathToFileURL(join(compiled, 'node.js')).href)
const { errnoOf } = await import(pathToFileURL(join(compiled, 'storage.js')).href)
const storage = new NodeStorage()
const report = (answer) => fs.writeFileSync(join(directory, 'answer.json'), JSON.stringify(answer))

const tasks = {
  /** Opens files until it may not, then gives one back and goes on. */
  async descriptors() {
    const files = []
    try {
      for (;;) files.push(await storage.open(join(directory, `f${files.length}`), 'create'))
    } catch (error) {
      const { code } = error
      const list = await storage.list(directory).catch(errnoOf)
      await files.pop().close()
      await files.pop().close()
      await storage.syncDirectory(directory)
      await (await storage.open(join(directory, 'f0'), 'read')).close()
      report({ code, errno: errnoOf(error), list, opened: files.length })
    }
  },

  /** Writes more than the process may. */
  async fileSize() {
    const answers = []
    for (const synced of [false, true]) {
      const file = await storage.open(join(directory, `big-${synced}`), 'create', { synced })
      const data = new Uint8Array(10_000).fill(1)
      answers.push(await file.write(data, 0).then(() => 'written', errnoOf))
      try {
        file.writeSync(data, 0)
        answers.push('written')
      } catch (error) {
        answers.push(errnoOf(error))
      }
      answers.push(await file.size())
    }
    report(answers)
  },

  /** Opens files when the numbers of standard input, output and error are free. */
  async standard() {
    const numbers = []
    const spying = {
      platform: process.platform,
      calls: {
        ...fs,
        write: (fd, ...rest) => {
          numbers.push(fd)
          fs.write(fd, ...rest)
        },
      },
    }
    const storage = new NodeStorage(spying)
    for (const fd of [0, 1, 2]) fs.closeSync(fd)
    const names = ['a', 'b']
    const files = []
    for (const name of names) files.push(await storage.open(join(directory, name), 'create', { synced: true }))
    for (const file of files) await file.write(new TextEncoder().encode('ours'), 0)
    fs.writeSync(1, 'stray output')
    fs.writeSync(2, 'stray complaint')
    for (const file of files) await file.close()
    report({ numbers, contents: names.map((name) => fs.readFileSync(join(directory, name), 'utf8')) })
  },
}

await tasks[task]()
