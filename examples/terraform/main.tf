# SPDX-License-Identifier: Apache-2.0
# An alarm on the queue's depth that Tickbird pushes to CloudWatch. CloudWatch compares the set of dimensions as a whole: the
# alarm must name exactly those that ../shop/cloudwatch.yml sends, or it stays without data for ever.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "environment" {
  type    = string
  default = "production"
}

variable "endpoint" {
  type        = string
  default     = null
  description = "address of a stand-in for AWS; null: AWS itself"
}

provider "aws" {
  region                      = var.region
  skip_credentials_validation = var.endpoint != null
  skip_metadata_api_check     = var.endpoint != null
  skip_requesting_account_id  = var.endpoint != null
  endpoints {
    cloudwatch = var.endpoint
    sns        = var.endpoint
  }
}

resource "aws_sns_topic" "alerts" {
  name = "tickbird-alerts"
}

resource "aws_cloudwatch_metric_alarm" "queue_depth" {
  alarm_name          = "queue-depth"
  alarm_description   = "More than 1,000 tasks wait for three minutes"
  namespace           = "MyApp/Business"
  metric_name         = "QueueDepth"
  dimensions          = { Environment = var.environment }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1000
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}
