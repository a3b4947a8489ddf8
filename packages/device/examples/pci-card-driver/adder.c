// SPDX-License-Identifier: MIT
// The Linux driver of the card in pci-card.ts: what is written to /dev/adder is added up, and a read gives the sum.
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include <asm/unaligned.h>

enum { BUFFER = 0, LENGTH = 4, DOORBELL = 8 };
#define ROOM 4092 /* bytes of a page, and the sum behind them */

struct adder {
	void __iomem *registers;
	u8 *buffer;
	dma_addr_t buffer_address;
	struct completion added;
	struct mutex lock;
	u32 sum;
	struct miscdevice misc;
};

static struct adder *adder_of(struct file *file)
{
	return container_of(file->private_data, struct adder, misc);
}

static irqreturn_t adder_interrupt(int irq, void *card)
{
	complete(&((struct adder *)card)->added);
	return IRQ_HANDLED;
}

static ssize_t adder_write(struct file *file, const char __user *from, size_t count, loff_t *at)
{
	struct adder *card = adder_of(file);
	ssize_t result;

	count = min_t(size_t, count, ROOM);
	mutex_lock(&card->lock);
	result = -EFAULT;
	if (copy_from_user(card->buffer, from, count))
		goto out;
	reinit_completion(&card->added);
	iowrite32(card->buffer_address, card->registers + BUFFER);
	iowrite32(count, card->registers + LENGTH);
	iowrite32(1, card->registers + DOORBELL);
	result = -EIO;
	if (!wait_for_completion_timeout(&card->added, HZ))
		goto out;
	card->sum = get_unaligned_le32(card->buffer + count);
	result = count;
out:
	mutex_unlock(&card->lock);
	return result;
}

static ssize_t adder_read(struct file *file, char __user *to, size_t count, loff_t *at)
{
	char text[12];
	int length = scnprintf(text, sizeof(text), "%u\n", adder_of(file)->sum);

	return simple_read_from_buffer(to, count, at, text, length);
}

static const struct file_operations adder_operations = {
	.owner = THIS_MODULE,
	.read = adder_read,
	.write = adder_write,
};

static int adder_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct adder *card = devm_kzalloc(&pdev->dev, sizeof(*card), GFP_KERNEL);
	int error;

	if (!card)
		return -ENOMEM;
	init_completion(&card->added);
	mutex_init(&card->lock);
	error = pcim_enable_device(pdev);
	if (!error)
		error = pcim_iomap_regions(pdev, 1 << 0, "adder");
	if (!error)
		error = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
	if (error)
		return error;
	card->registers = pcim_iomap_table(pdev)[0];
	card->buffer = dmam_alloc_coherent(&pdev->dev, PAGE_SIZE, &card->buffer_address, GFP_KERNEL);
	if (!card->buffer)
		return -ENOMEM;
	pci_set_master(pdev);
	error = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (error < 0)
		return error;
	error = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), adder_interrupt, 0, "adder", card);
	if (error)
		return error;
	card->misc = (struct miscdevice){ .minor = MISC_DYNAMIC_MINOR, .name = "adder", .fops = &adder_operations };
	pci_set_drvdata(pdev, card);
	return misc_register(&card->misc);
}

static void adder_remove(struct pci_dev *pdev)
{
	misc_deregister(&((struct adder *)pci_get_drvdata(pdev))->misc);
}

static const struct pci_device_id adder_ids[] = { { PCI_DEVICE(0x1234, 0xadd0) }, {} };
MODULE_DEVICE_TABLE(pci, adder_ids);

static struct pci_driver adder_driver = {
	.name = "adder",
	.id_table = adder_ids,
	.probe = adder_probe,
	.remove = adder_remove,
};
module_pci_driver(adder_driver);
MODULE_DESCRIPTION("Adds bytes up on a card");
MODULE_LICENSE("Dual MIT/GPL");
